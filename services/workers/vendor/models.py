"""The models of a vendor, as the configuration describes them."""

from typing import Any

from hybridinference.inference.v1 import model_pb2 as model

from services.config.provider import VendorProvider
from services.workers.provider import ServedModel

_CAPABILITIES: dict[str, Any] = {
    name.removeprefix("CAPABILITY_").lower(): value for name, value in model.Capability.items()
}


def served(config: VendorProvider) -> tuple[ServedModel, ...]:
    """What the configuration names, with what it says of each model."""
    return tuple(
        ServedModel(
            one.name,
            config.context_tokens if one.context_tokens is None else one.context_tokens,
            [_CAPABILITIES[name] for name in (config.capabilities if one.capabilities is None else one.capabilities)],
        )
        for one in config.models
    )
