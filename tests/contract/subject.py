"""One provider that has to pass the contract, and how its worker is run."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pydantic
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model
from prometheus_client import CollectorRegistry

from services.config.provider import Provider
from services.workers.__main__ import open_provider
from tests import fakes

# Runs a worker at an address, in a hurry with the stage whose waiting is tested, if any.
Serving = Callable[[str, str], AbstractAsyncContextManager[None]]
# The last one has to let some of an answer come.
_IN_A_HURRY = {"first_token": 0.6, "idle": 0.6, "total": 2.0}

CAPABILITIES: dict[str, Any] = {
    name.removeprefix("CAPABILITY_").lower(): value for name, value in model.Capability.items()
}


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """A provider, what stands behind it, and what it says it can do.

    Attributes:
        kind: in the configuration; the column's name.
        serving: runs its worker.
        chat: what its model `m` claims, which is asked for text. There is a third model, `bare`, for text alone.
        embeddings: what its model `e` claims, which is asked for vectors.
        fault: the spec that makes what stands behind it fail in the way of that name.
        reasons: why a row is not shown here, by the row's name.
    """

    kind: str
    serving: Serving
    chat: Sequence[str]
    embeddings: Sequence[str]
    fault: Callable[[str], generation.GenerationSpec]
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def claims(self, *, embeds: bool) -> set[int]:
        """Capabilities, as the contract numbers them."""
        return {CAPABILITIES[name] for name in (self.embeddings if embeds else self.chat)}


def configured(**settings: Any) -> Any:
    """A provider's configuration."""
    return pydantic.TypeAdapter(Provider).validate_python(settings)


def told(text: str, **fields: Any) -> generation.GenerationSpec:
    """A question to the model for text."""
    spec = generation.GenerationSpec(model="m", **fields)
    spec.messages.add(role=conversation.ROLE_USER).parts.add(text=text)
    return spec


def asked_for(fault: str) -> generation.GenerationSpec:
    """What makes a fake vendor fail."""
    return told(f"fault: {fault}")


def none(fault: str) -> generation.GenerationSpec:
    """For a provider that nothing can make fail: its subject has a reason for each fault."""
    raise AssertionError(fault)


def unserved(address: str, stage: str) -> AbstractAsyncContextManager[None]:
    """For a provider that takes too long to start for each test: its tests are elsewhere."""
    raise AssertionError(address)


def alone(**settings: Any) -> Serving:
    """A worker with nothing behind it."""
    return lambda address, stage: worker(address, configured(**settings))


def behind(server: Callable[[Any], Any], model: Callable[[], Any], **settings: Any) -> Serving:
    """A worker with a fake vendor behind it, and behind that a model."""

    @contextlib.asynccontextmanager
    async def serving(address: str, stage: str) -> AsyncIterator[None]:
        waits = {f"{stage}_seconds": _IN_A_HURRY[stage]} if stage else {}
        async with (
            server(model().answer) as fake,
            worker(address, vendor(base_url=fake.base_url, **settings, **waits)),
        ):
            yield

    return serving


@contextlib.asynccontextmanager
async def worker(address: str, config: Any) -> AsyncIterator[None]:
    """The real worker service around the real provider, in this process."""
    async with (
        open_provider(config, lambda _: None, CollectorRegistry()) as provider,
        fakes.running_worker(address, provider, kind=config.kind),
    ):
        yield


def vendor(**settings: Any) -> Any:
    """The configuration of a vendor."""
    models = [
        {"name": settings.pop("chat_model", "m"), "capabilities": settings.pop("chat")},
        {"name": "e", "capabilities": settings.pop("embeddings")},
        {"name": "bare", "capabilities": ["chat"]},
    ]
    return configured(api_keys=["sk-canary-aaaaaaaaaaaa"], models=models, **settings)
