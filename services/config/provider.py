"""Providers: who generates, and where its workers are."""

from typing import Annotated, Any, Literal

import pydantic

from services.config.base import Section

_Addresses = Annotated[tuple[str, ...], pydantic.Field(min_length=1)]
_Count = Annotated[int, pydantic.Field(ge=1, le=256)]


class _WorkedProvider(Section):
    """What every kind of provider has: worker processes."""

    workers: _Addresses | _Count = pydantic.Field(
        default=1, description="Number of workers on this host, or their addresses."
    )
    drain_seconds: float = pydantic.Field(default=30.0, ge=0, description="How long running work may finish on stop.")


class VllmProvider(_WorkedProvider):
    """A vLLM engine in a worker process of its own."""

    kind: Literal["vllm"]
    model: str = pydantic.Field(description="Directory of the model, or its name on a model hub.")
    served_model: str = pydantic.Field(
        default="", description="Name under which routes ask for it. Default: last part of `model`."
    )
    devices: tuple[int, ...] = pydantic.Field(default=(), description="GPUs of each worker (CUDA_VISIBLE_DEVICES).")
    engine_args: dict[str, Any] = pydantic.Field(default_factory=dict, description="Arguments of vLLM's engine.")
    threads: int = pydantic.Field(default=1, ge=1, description="OpenMP threads of an engine on the CPU.")

    @property
    def models(self) -> tuple[str, ...]:
        """Names that routes may ask for."""
        return (self.served_model or self.model.rstrip("/").rpartition("/")[2],)


class EchoProvider(_WorkedProvider):
    """No model and no network: answers with the words of the last message. For tests, demos and measurements."""

    kind: Literal["echo"]
    models: tuple[str, ...] = pydantic.Field(default=("echo",), min_length=1)
    first_token_ms: float = pydantic.Field(default=0.0, ge=0, description="Time to the first token.")
    token_ms: float = pydantic.Field(default=0.0, ge=0, description="Time between tokens. All streams step together.")
    capacity: int = pydantic.Field(default=0, ge=0, description="Most generations at once; 0 is no limit.")
    loading_ms: float = pydantic.Field(default=0.0, ge=0, description="Time it claims to load a model.")
    failure_rate: float = pydantic.Field(default=0.0, ge=0, le=1, description="Share of generations that fail at once.")
    cut_rate: float = pydantic.Field(default=0.0, ge=0, le=1, description="Share of streams cut in the middle.")
    hang_rate: float = pydantic.Field(default=0.0, ge=0, le=1, description="Share of generations that never answer.")


Provider = Annotated[VllmProvider | EchoProvider, pydantic.Field(discriminator="kind")]
