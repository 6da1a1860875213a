"""The only module that knows where vLLM keeps what is used here.

vLLM moves things between releases, so each is looked for in every place it has had since 0.20. Only 0.32 has been run.
"""

import dataclasses
import importlib
from collections.abc import Callable, Iterator
from typing import Any

_CHAT = ("vllm.renderers.chat_utils", "vllm.entrypoints.chat_utils")
_WEIGHTS = "vllm.model_executor.model_loader.weight_utils"


class NeverRaised(Exception):
    """Stands in for an exception that an older vLLM does not have."""


@dataclasses.dataclass(frozen=True, slots=True)
class Errors:
    """What the engine raises."""

    dead: type[Exception]
    """The engine is gone for good."""
    failed: type[Exception]
    """This request failed; the engine lives."""
    full: tuple[type[Exception], ...]
    """The admission limits."""
    invalid: type[Exception]
    """The request is at fault."""
    no_template: type[Exception] = NeverRaised
    """The model has no chat template."""

    @property
    def all(self) -> tuple[type[Exception], ...]:
        """Every one of them, for an `except` clause."""
        return (self.dead, self.failed, *self.full, self.invalid)


@dataclasses.dataclass(frozen=True, slots=True)
class Api:
    """vLLM, as far as it is used here."""

    platform: Any
    AsyncEngineArgs: Any
    AsyncLLM: Any
    ChatCompletionRequest: Any
    ChatParams: Any
    IncrementalDetokenizer: Any
    LoRARequest: Any
    ParserManager: Any
    PoolingParams: Any
    RequestOutputKind: Any
    SamplingParams: Any
    StatLoggerBase: Any
    StructuredOutputsParams: Any
    errors: Errors


def load() -> Api:
    """Import vLLM. Takes 5 s, and it reads its environment variables while it does.

    Raises:
        ImportError: vLLM is not installed, or keeps something in a place that is not known here.
    """
    return Api(
        platform=_find("current_platform", "vllm.platforms"),
        AsyncEngineArgs=_find("AsyncEngineArgs", "vllm.engine.arg_utils"),
        AsyncLLM=_find("AsyncLLM", "vllm.v1.engine.async_llm"),
        ChatCompletionRequest=_find(
            "ChatCompletionRequest",
            "vllm.entrypoints.openai.chat_completion.protocol",
            "vllm.entrypoints.openai.protocol",
        ),
        ChatParams=_find("ChatParams", "vllm.renderers.params", "vllm.renderers"),
        IncrementalDetokenizer=_find("IncrementalDetokenizer", "vllm.v1.engine.detokenizer"),
        LoRARequest=_find("LoRARequest", "vllm.lora.request"),
        ParserManager=_find("ParserManager", "vllm.parser", "vllm.parser.parser_manager"),
        PoolingParams=_find("PoolingParams", "vllm.pooling_params", "vllm"),
        RequestOutputKind=_find("RequestOutputKind", "vllm.sampling_params"),
        SamplingParams=_find("SamplingParams", "vllm.sampling_params", "vllm"),
        StatLoggerBase=_find("StatLoggerBase", "vllm.v1.metrics.loggers"),
        StructuredOutputsParams=_find("StructuredOutputsParams", "vllm.sampling_params"),
        errors=Errors(
            dead=_find("EngineDeadError", "vllm.v1.engine.exceptions"),
            failed=_find("EngineGenerateError", "vllm.v1.engine.exceptions"),
            full=(
                _error("QueueOverflowError", NeverRaised),
                _error("MaxQueuedTokensError", NeverRaised),
            ),
            # Before vLLM had a hierarchy of its own, a bad request was a ValueError.
            invalid=_error("VLLMClientError", _error("VLLMValidationError", ValueError)),
            no_template=_error("ChatTemplateResolutionError", NeverRaised, *_CHAT),
        ),
    )


def sees_images(renderer: Any) -> bool:
    """Whether the model of that renderer takes pictures, and at least one of them."""
    processor = getattr(renderer, "mm_processor", None)
    return processor is not None and processor.info.allowed_mm_limits.get("image", 0) > 0


def end_tokens(model_config: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end an answer of the model, unless it is to go on past them."""
    config = model_config.try_get_generation_config() or {}
    named = config.get("eos_token_id")
    found = [getattr(tokenizer, "eos_token_id", None), *(named if isinstance(named, list) else [named])]
    return frozenset(token for token in found if token is not None)


def compile_nothing() -> None:
    """Have torch run what it would compile when it is first used.

    `enforce_eager` keeps the model from being compiled, but not the kernel behind log probabilities: the first request
    that asks for them would wait 15 s on a CPU for a compiler.
    """
    importlib.import_module("torch._dynamo").config.disable = True


def remember_environment() -> None:
    """Have vLLM look up its environment variables once, as its engine's own process does.

    Without this its statistics read two of them for each token. None may change afterwards.
    """
    try:
        remember = _find("enable_envs_cache", "vllm.envs")
    except ImportError:  # an older vLLM reads them each time
        return
    remember()


def follow_weights(told: Callable[[float], None]) -> None:
    """Have vLLM tell which share of the files of weights is read, in whatever process reads them.

    It shows a bar on a terminal and tells nobody else, so the bar is made to tell. Where there is none, nothing is.
    """
    try:
        bar = _find("tqdm", _WEIGHTS)
    except ImportError:
        return

    class TellingBar(bar):  # type: ignore[misc, valid-type]
        def __iter__(self) -> Iterator[Any]:
            for number, file in enumerate(super().__iter__()):
                told(number / max(self.total or 1, 1))
                yield file
            told(1.0)

    importlib.import_module(_WEIGHTS).tqdm = TellingBar  # type: ignore[attr-defined]


def _error(name: str, otherwise: type[Exception], *homes: str) -> type[Exception]:
    try:
        found: type[Exception] = _find(name, *homes or ("vllm.exceptions",))
    except ImportError:
        return otherwise
    return found


def _find(name: str, *homes: str) -> Any:
    """The thing of that name, from the first home that has it."""
    tried: list[str] = []
    for home in homes:
        try:
            return getattr(importlib.import_module(home), name)
        except (ImportError, AttributeError) as error:
            tried.append(f"{home}: {error}")
    raise ImportError(f"vLLM has no `{name}` ({'; '.join(tried)})")
