"""Providers: who generates, and where its workers are."""

from typing import Annotated, Any, Literal, get_args

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


# What a request may need of an OpenAI-compatible server, in the words of the contract's `Capability`. `top_k` is no
# field of OpenAI's own API, so it has to be asked for.
ChatCapability = Literal[
    "chat",
    "images",
    "files",
    "tools",
    "json_object",
    "json_schema",
    "logprobs",
    "choices",
    "reasoning_effort",
    "seed",
    "penalties",
    "logit_bias",
    "top_k",
    "stop",
]
_CHAT_CAPABILITIES: tuple[ChatCapability, ...] = tuple(
    capability for capability in get_args(ChatCapability) if capability != "top_k"
)


class OpenAIProvider(_WorkedProvider):
    """The OpenAI API, or any server that speaks it: vLLM, SGLang, Ollama, OpenRouter."""

    kind: Literal["openai"]
    base_url: str = pydantic.Field(
        default="https://api.openai.com/v1", pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$", description="Up to `/v1`."
    )
    api_keys: tuple[pydantic.SecretStr, ...] = pydantic.Field(
        min_length=1, description="One or several; `none` for a server that asks for no key."
    )
    models: tuple[str, ...] = pydantic.Field(min_length=1, description="The server's own names of models to serve.")
    capabilities: tuple[ChatCapability, ...] = pydantic.Field(
        default=_CHAT_CAPABILITIES, description="What the models can do. Anything else is refused by name."
    )
    context_tokens: int = pydantic.Field(default=0, ge=0, lt=1 << 32, description="0: not known.")
    max_concurrent: int = pydantic.Field(default=0, ge=0, description="Most generations of a worker; 0 is no limit.")
    connect_seconds: float = pydantic.Field(default=5.0, gt=0, description="Longest time to connect.")
    first_token_seconds: float = pydantic.Field(default=120.0, gt=0, description="Longest time to the first content.")
    idle_seconds: float = pydantic.Field(default=60.0, gt=0, description="Longest silence after that.")
    key_pause_seconds: float = pydantic.Field(default=60.0, gt=0, description="How long a refused key is left alone.")
    organization: str = pydantic.Field(default="", description="Sent as OpenAI-Organization.")
    project: str = pydantic.Field(default="", description="Sent as OpenAI-Project.")
    proxy_from_environment: bool = pydantic.Field(default=False, description="Whether HTTPS_PROXY and such count.")
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = pydantic.Field(
        default="max_completion_tokens", description="What the server calls the limit; old ones know `max_tokens`."
    )
    reasoning_field: Literal["", "reasoning", "reasoning_content"] = pydantic.Field(
        default="", description="Under which name earlier thinking goes back; OpenAI's own API has none."
    )

    @pydantic.field_validator("api_keys")
    @classmethod
    def _fit_a_header(cls, keys: tuple[pydantic.SecretStr, ...]) -> tuple[pydantic.SecretStr, ...]:
        for key in keys:
            text = key.get_secret_value()
            if not text or not text.isascii() or not text.isprintable() or " " in text:
                raise ValueError("a key is printable characters without spaces, and not empty")
        return keys


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


Provider = Annotated[VllmProvider | OpenAIProvider | EchoProvider, pydantic.Field(discriminator="kind")]
