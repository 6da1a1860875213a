"""Providers: who generates, and where its workers are."""

from typing import Annotated, Any, Literal, Self, get_args

import pydantic

from services.config.base import Section

_Addresses = Annotated[tuple[str, ...], pydantic.Field(min_length=1)]
_Count = Annotated[int, pydantic.Field(ge=1, le=256)]


def _host_pattern(pattern: str) -> str:
    return pattern.lower().rstrip(".")


_Host = Annotated[str, pydantic.Field(pattern=r"^(\*\.)?[^*/:@\s]+$"), pydantic.AfterValidator(_host_pattern)]


class Fetch(Section):
    """What a worker fetches by itself where a request names a picture or a file by address."""

    allow_hosts: tuple[_Host, ...] = pydantic.Field(
        default=(), description="The only hosts to fetch from; `*.example.com` is all below it. Empty: any public host."
    )
    leave_hosts: tuple[_Host, ...] = pydantic.Field(
        default=(), description="Hosts whose addresses go to the provider as they are, such as its own storage."
    )
    allow_http: bool = pydantic.Field(default=False, description="Whether addresses without TLS are fetched.")
    allow_private: bool = pydantic.Field(
        default=False, description="Whether private addresses are. Every caller can then reach what the worker can."
    )
    file_types: tuple[str, ...] = pydantic.Field(
        default=("application/pdf",), description="Media types of files. Of pictures, all of image/* are taken."
    )
    max_bytes: int = pydantic.Field(default=10 << 20, ge=1, le=1 << 28, description="Largest picture or file.")
    max_parts: int = pydantic.Field(default=8, ge=1, le=1000, description="Most of them in a request.")
    seconds: float = pydantic.Field(default=10.0, gt=0, description="Longest time for one.")


class _WorkedProvider(Section):
    """What every kind of provider has: worker processes."""

    workers: _Addresses | _Count = pydantic.Field(
        default=1,
        description="Number of workers on this host, or their addresses: unix:PATH, HOST:PORT, or dns:///HOST:PORT for "
        "all that a name leads to.",
    )
    drain_seconds: float = pydantic.Field(default=30.0, ge=0, description="How long running work may finish on stop.")
    fetch: Fetch | None = pydantic.Field(
        default=None, description="Fetch pictures and files that are named by address. Default: the provider may."
    )


class LoraAdapter(Section):
    """A LoRA adapter, served as a model of its own beside the one it was made for."""

    path: str = pydantic.Field(min_length=1, description="Directory of the adapter, in PEFT's format.")


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
    tool_parser: str = pydantic.Field(
        default="", description="How the model writes tool calls: a name of vLLM's, such as `hermes`. Empty: no tools."
    )
    reasoning_parser: str = pydantic.Field(
        default="",
        description="How the model marks its thinking: a name of vLLM's, such as `qwen3`. Empty: not at all.",
    )
    chat_template: str = pydantic.Field(
        default="", description="File of a chat template in Jinja. Default: the model's own."
    )
    lora_adapters: dict[str, LoraAdapter] = pydantic.Field(
        default_factory=dict, description="LoRA adapters, by the name under which routes ask for them."
    )

    @property
    def base_name(self) -> str:
        """Name under which routes ask for the model without any adapter."""
        return self.served_model or self.model.rstrip("/").rpartition("/")[2]

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names that routes may ask for."""
        return (self.base_name, *self.lora_adapters)

    @pydantic.model_validator(mode="after")
    def _names_differ(self) -> "VllmProvider":
        if self.base_name in self.lora_adapters:
            raise ValueError(f"lora_adapters: `{self.base_name}` is the name of the model itself")
        return self


# What a request may need of a model, in the words of the contract's `Capability`.
CapabilityName = Literal[
    "chat",
    "embeddings",
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
    "provider_options",
    "dimensions",
    "token_inputs",
    "completions",
]
_OF_EMBEDDINGS = ("embeddings", "dimensions", "token_inputs")
# `top_k` is no field of OpenAI's own API, and its chat models complete no prompts: both have to be asked for.
_OPENAI_CAPABILITIES: tuple[CapabilityName, ...] = tuple(
    capability for capability in get_args(CapabilityName) if capability not in ("top_k", "completions", *_OF_EMBEDDINGS)
)
# No logit bias, no fields beyond the contract that would be passed on, no tokens as inputs, no prompts as they are.
_NOT_OF_GEMINI = ("logit_bias", "provider_options", "token_inputs", "completions")
_GEMINI_CAPABILITIES: tuple[CapabilityName, ...] = tuple(
    capability for capability in get_args(CapabilityName) if capability not in (*_NOT_OF_GEMINI, *_OF_EMBEDDINGS)
)


class AdaptiveLimit(Section):
    """Bounds of a limit that finds out by itself how many requests a key may have under way."""

    initial: int = pydantic.Field(default=1000, ge=1, le=1_000_000, description="Most requests of a key at first.")
    maximum: int = pydantic.Field(default=10_000, ge=1, le=1_000_000, description="Most that it ever grows to.")

    @pydantic.model_validator(mode="after")
    def _begins_below_its_maximum(self) -> "AdaptiveLimit":
        if self.initial > self.maximum:
            raise ValueError("`initial` is more than `maximum`")
        return self


class VendorModel(Section):
    """A model of a vendor. In the file, its name alone is enough."""

    name: str = pydantic.Field(min_length=1, description="The vendor's own name for it.")
    capabilities: tuple[CapabilityName, ...] | None = pydantic.Field(
        default=None, description="What it can do. Default: the provider's `capabilities`."
    )
    context_tokens: int | None = pydantic.Field(
        default=None, ge=0, lt=1 << 32, description="Default: the provider's `context_tokens`."
    )


def _named(model: object) -> object:
    return {"name": model} if isinstance(model, str) else model


def _on(value: object) -> object:
    return None if value is False or value == "off" else value  # YAML takes `off` for false


_AnyModel = Annotated[VendorModel, pydantic.BeforeValidator(_named, json_schema_input_type=str | VendorModel)]


class VendorProvider(_WorkedProvider):
    """What every vendor over HTTP has: keys, models, and bounds on waiting."""

    api_keys: tuple[pydantic.SecretStr, ...] = pydantic.Field(
        min_length=1, description="One or several; `none` for a server that asks for no key."
    )
    models: tuple[
        Annotated[VendorModel, pydantic.BeforeValidator(_named, json_schema_input_type=str | VendorModel)], ...
    ] = pydantic.Field(
        min_length=1, description="Models to serve: their names, or objects with `name` and what they can do."
    )
    capabilities: tuple[CapabilityName, ...] = pydantic.Field(
        description="What models can do that do not say so themselves. Anything else is refused by name."
    )
    context_tokens: int = pydantic.Field(default=0, ge=0, lt=1 << 32, description="0: not known.")
    max_concurrent: int = pydantic.Field(default=0, ge=0, description="Most generations of a worker; 0 is no limit.")
    adaptive_limit: Annotated[
        AdaptiveLimit | None,
        pydantic.BeforeValidator(_on, json_schema_input_type=AdaptiveLimit | Literal["off", False] | None),
    ] = pydantic.Field(
        default=AdaptiveLimit(),
        description="Requests under way with a key: fewer after a rate limit or overload, then more again. Or `off`.",
    )
    connect_seconds: float = pydantic.Field(default=5.0, gt=0, description="Longest time to connect.")
    first_token_seconds: float = pydantic.Field(default=120.0, gt=0, description="Longest time to the first content.")
    idle_seconds: float = pydantic.Field(default=60.0, gt=0, description="Longest silence after that.")
    total_seconds: float = pydantic.Field(default=600.0, gt=0, description="Longest answer.")
    key_pause_seconds: float = pydantic.Field(default=60.0, gt=0, description="How long a refused key is left alone.")
    proxy_from_environment: bool = pydantic.Field(default=False, description="Whether HTTPS_PROXY and such count.")

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names that routes may ask for."""
        return tuple(model.name for model in self.models)

    @pydantic.field_validator("api_keys")
    @classmethod
    def _fit_a_header(cls, keys: tuple[pydantic.SecretStr, ...]) -> tuple[pydantic.SecretStr, ...]:
        for key in keys:
            text = key.get_secret_value()
            if not text or not text.isascii() or not text.isprintable() or " " in text:
                raise ValueError("a key is printable characters without spaces, and not empty")
        if len(set(keys)) < len(keys):  # one that is limited would be asked again under its other number
            raise ValueError("a key is given twice")
        return keys

    @pydantic.field_validator("models")
    @classmethod
    def _once_each(cls, models: tuple[VendorModel, ...]) -> tuple[VendorModel, ...]:
        names = [model.name for model in models]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"model `{name}` is given twice")
        return models


_BASE_URL = r"^https?://[^/?#@\s]+(/[^?#\s]*)?$"


class OpenAIProvider(VendorProvider):
    """The OpenAI API, or any server that speaks it: vLLM, SGLang, Ollama, OpenRouter."""

    kind: Literal["openai"]
    base_url: str = pydantic.Field(default="https://api.openai.com/v1", pattern=_BASE_URL, description="Up to `/v1`.")
    capabilities: tuple[CapabilityName, ...] = _OPENAI_CAPABILITIES
    organization: str = pydantic.Field(default="", description="Sent as OpenAI-Organization.")
    project: str = pydantic.Field(default="", description="Sent as OpenAI-Project.")
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = pydantic.Field(
        default="max_completion_tokens", description="What the server calls the limit; old ones know `max_tokens`."
    )
    reasoning_field: Literal["", "reasoning", "reasoning_content"] = pydantic.Field(
        default="", description="Under which name earlier thinking goes back; OpenAI's own API has none."
    )


class GeminiProvider(VendorProvider):
    """The Gemini API."""

    kind: Literal["gemini"]
    base_url: str = pydantic.Field(
        default="https://generativelanguage.googleapis.com", pattern=_BASE_URL, description="Without the API's version."
    )
    api_version: Literal["v1beta", "v1"] = pydantic.Field(
        default="v1beta", description="`v1` lacks tools and thinking on some models."
    )
    stream: bool = pydantic.Field(
        default=True, description="Whether the API is asked for streams; without, an answer comes in one piece."
    )
    capabilities: tuple[CapabilityName, ...] = _GEMINI_CAPABILITIES

    @pydantic.model_validator(mode="after")
    def _offers_what_there_is(self) -> Self:
        for name in (*self.capabilities, *(name for model in self.models for name in model.capabilities or ())):
            if name in _NOT_OF_GEMINI:
                raise ValueError(f"the Gemini API has no `{name}`")
        return self


class EchoProvider(_WorkedProvider):
    """No model and no network: repeats the last message, or the prompt. For tests, demos and measurements."""

    kind: Literal["echo"]
    models: tuple[str, ...] = pydantic.Field(default=("echo",), min_length=1)
    first_token_ms: float = pydantic.Field(default=0.0, ge=0, description="Time to the first token.")
    token_ms: float = pydantic.Field(default=0.0, ge=0, description="Time between tokens. All streams step together.")
    capacity: int = pydantic.Field(default=0, ge=0, description="Most generations at once; 0 is no limit.")
    loading_ms: float = pydantic.Field(default=0.0, ge=0, description="Time it claims to load a model.")
    failure_rate: float = pydantic.Field(default=0.0, ge=0, le=1, description="Share of generations that fail at once.")
    cut_rate: float = pydantic.Field(default=0.0, ge=0, le=1, description="Share of streams cut in the middle.")
    hang_rate: float = pydantic.Field(default=0.0, ge=0, le=1, description="Share of generations that never answer.")
    faults_file: str = pydantic.Field(
        default="",
        description="A file in JSON with other values for the six settings above; while it is there, they hold.",
    )

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names that routes may ask for."""
        return self.models


Provider = Annotated[
    VllmProvider | OpenAIProvider | GeminiProvider | EchoProvider, pydantic.Field(discriminator="kind")
]
