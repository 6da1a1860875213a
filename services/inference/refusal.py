"""What a caller is told whose request no provider can do."""

from collections.abc import Mapping

from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model

from services.chassis.failure import Failure

_NAMES: dict[int, str] = {value: name.removeprefix("CAPABILITY_").lower() for name, value in model.Capability.items()}
# Not a parameter but the call itself: it is the model that does not fit. What it cannot do, and what to do about it.
_CALLS: dict[int, tuple[str, str]] = {
    model.CAPABILITY_CHAT: ("chat", "choose another `model`"),
    model.CAPABILITY_EMBEDDINGS: ("embed", "choose another `model`"),
    model.CAPABILITY_COMPLETIONS: ("complete prompts", "use chat, or choose another `model`"),
}


def unsupported(capability: int, field: str, *, name: str, provider: str) -> Failure:
    """An UNSUPPORTED failure.

    Args:
        capability: what is missing.
        field: the field that needs it.
        name: the model.
        provider: who lacks it; several are separated by commas.
    """
    call = _CALLS.get(capability)
    if call:
        field, (what, advice) = "model", call
        message = f"The model `{name}` cannot {what} (asked of {provider}); {advice}."
    else:
        instead = "send text" if capability == model.CAPABILITY_TOKEN_INPUTS else "leave it out"
        message = f"`{field}` is not supported by {provider} for the model `{name}`; {instead} or choose another model."
    return Failure(
        reasons.ERROR_REASON_UNSUPPORTED,
        message,
        field=field,
        model=name,
        provider=provider,
        capability=_NAMES.get(capability, str(capability)),
    )


def name_field(failure: Failure, needs: Mapping[model.Capability, str]) -> None:
    """Have a failure of somebody who knows only capabilities name the field that needs the missing one."""
    if failure.reason != reasons.ERROR_REASON_UNSUPPORTED:
        return
    told = failure.metadata
    for capability, field in needs.items():
        if _NAMES.get(capability) == told.get("capability"):
            named = unsupported(capability, field, name=told.get("model", ""), provider=told.get("provider", ""))
            failure.message, failure.metadata = named.message, named.metadata
