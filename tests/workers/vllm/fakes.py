"""Stand-ins for vLLM's types: the tests' own environment has no vLLM."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Callable
from types import SimpleNamespace
from typing import Any

from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation

from services.workers.vllm.compat import Api, Errors, NeverRaised
from services.workers.vllm.engine import Engine
from services.workers.vllm.load import EngineStats


def spec(text: str = "Hello", **fields: Any) -> generation.GenerationSpec:
    """A spec of one user message."""
    made = generation.GenerationSpec(model="m", **fields)
    made.messages.add(role=conversation.ROLE_USER).parts.add(text=text)
    return made


@dataclasses.dataclass
class Logprob:
    """vLLM's Logprob."""

    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclasses.dataclass
class Choice:
    """vLLM's CompletionOutput."""

    index: int = 0
    text: str = ""
    token_ids: list[int] = dataclasses.field(default_factory=list)
    logprobs: list[dict[int, Logprob]] | None = None
    finish_reason: str | None = None


@dataclasses.dataclass
class Output:
    """vLLM's RequestOutput."""

    outputs: list[Choice]
    prompt_token_ids: list[int] | None = dataclasses.field(default_factory=lambda: [1, 2, 3])
    num_cached_tokens: int | None = 0
    finished: bool = False


class DeadError(Exception):
    """vLLM's EngineDeadError."""


class FailedError(Exception):
    """vLLM's EngineGenerateError."""


class FullError(Exception):
    """vLLM's QueueOverflowError."""


class InvalidError(Exception):
    """vLLM's VLLMValidationError."""

    def __init__(self, message: str, *, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


ERRORS = Errors(dead=DeadError, failed=FailedError, full=(FullError, NeverRaised), invalid=InvalidError)

# What a fake engine does once it is asked: a list of outputs, each of them or an exception to raise.
Script = list[Output | Exception]


class FakeLlm:
    """An AsyncLLM that plays a script, and then waits to be told that it may end."""

    def __init__(self, script: Script, *, endless: bool = False) -> None:
        self.renderer = self
        self.default_chat_tok_params = None
        self.errored = False
        self.prompt_tokens = 3
        self.rendered: list[list[dict[str, Any]]] = []
        self.params: Any = None
        self.begun = asyncio.Event()
        self.unfinished: set[str] = set()
        self.stopped_after: float | None = None
        self.render_error: Exception | None = None
        self._script = script
        self._endless = endless

    async def render_chat_async(self, conversations: Any, params: Any, tok_params: Any) -> Any:
        if self.render_error is not None:
            raise self.render_error
        self.rendered += conversations
        return conversations, [{"type": "token", "prompt_token_ids": list(range(self.prompt_tokens))}]

    async def generate(self, prompt: Any, params: Any, request_id: str) -> AsyncGenerator[Output, None]:
        self.params = params
        self.unfinished.add(request_id)
        self.begun.set()
        for step in self._script:
            if isinstance(step, Exception):
                raise step
            yield step
        if self._endless:
            await asyncio.Event().wait()
        self.unfinished.remove(request_id)

    async def abort(self, request_id: str) -> None:
        self.unfinished.discard(request_id)

    def get_num_unfinished_requests(self) -> int:
        return len(self.unfinished)

    def get_num_queued_tokens(self) -> int:
        return 0

    def get_tokenizer(self) -> Any:
        return SimpleNamespace(convert_ids_to_tokens=str)

    def shutdown(self, timeout: float) -> None:
        self.stopped_after = timeout


def fake_engine(llm: FakeLlm, *, admitted: int = 8) -> Engine:
    """An engine of that AsyncLLM, with a context of 20 tokens."""
    same: Callable[..., Any] = SimpleNamespace
    api = Api(
        platform=None,
        AsyncEngineArgs=None,
        AsyncLLM=None,
        ChatParams=same,
        RequestOutputKind=SimpleNamespace(DELTA="delta"),
        SamplingParams=same,
        StatLoggerBase=object,
        StructuredOutputsParams=same,
        errors=ERRORS,
    )
    return Engine(
        api=api,
        llm=llm,
        stats=EngineStats(),
        context_tokens=20,
        capacity=2,
        admitted=admitted,
        kv_capacity_tokens=100,
        sampling_defaults={},
    )
