"""Stand-ins for vLLM's types: the tests' own environment has no vLLM."""

import asyncio
import codecs
import dataclasses
from collections.abc import AsyncGenerator, Callable, Sequence
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


class NoTemplateError(ValueError):
    """vLLM's ChatTemplateResolutionError."""


class InvalidError(Exception):
    """vLLM's VLLMValidationError."""

    def __init__(self, message: str, *, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


ERRORS = Errors(
    dead=DeadError, failed=FailedError, full=(FullError, NeverRaised), invalid=InvalidError, no_template=NoTemplateError
)

# What a fake engine does once it is asked: a list of outputs, each of them or an exception to raise.
Script = list[Output | Exception]


class FakeRequest:
    """vLLM's ChatCompletionRequest."""

    tools: Any = None
    structured_outputs: Any = None
    skip_special_tokens = True
    spaces_between_special_tokens = True

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def extract_structured_outputs(self) -> Any:
        return self.structured_outputs

    def resolve_reasoning_ended(self, parser: Any, prompt_ids: list[int]) -> bool:
        return False


class FakeParser:
    """vLLM's Parser: `?` begins a call, whose arguments are what follows; `~` before a text makes it a thought."""

    reasoning_parser_cls: Any = None
    tool_parser_cls: Any = object

    def __init__(self, tokenizer: Any, tools: Any, *, chat_template_kwargs: Any, model_config: Any) -> None:
        self.reasoning_parser = self.reasoning_parser_cls
        self._calls = -1

    def adjust_request(self, request: FakeRequest) -> FakeRequest:
        request.skip_special_tokens = False
        return request

    def count_reasoning_tokens(self, ids: Sequence[int]) -> int:
        return 0

    def parse_delta(self, text: str, ids: list[int], request: Any, prompt_ids: Any, *, finished: bool) -> Any:
        message = SimpleNamespace(content=None, reasoning=None, tool_calls=[])
        if text.startswith("?"):
            self._calls += 1
            function = SimpleNamespace(name=text[1:], arguments="")
            message.tool_calls.append(SimpleNamespace(index=self._calls, id=None, function=function))
        elif self._calls >= 0 and text:
            function = SimpleNamespace(name=None, arguments=text)
            message.tool_calls.append(SimpleNamespace(index=self._calls, id=None, function=function))
        elif text.startswith("~"):
            message.reasoning = text[1:]
        elif text:
            message.content = text
        else:
            return None
        return message


class ThinkingParser(FakeParser):
    """One that knows of thinking, too."""

    reasoning_parser_cls: Any = object


@dataclasses.dataclass(frozen=True)
class TokenizeParams:
    """vLLM's TokenizeParams, as a model of pictures may have them."""

    max_total_tokens: int = 20
    add_special_tokens: bool = False


class FakeDetokenizer:
    """vLLM's IncrementalDetokenizer, of a model whose tokens are bytes: one that ends the answer has no text."""

    def __init__(self, params: Any) -> None:
        self.output_text = ""
        self.output_token_ids: list[int] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._stop = list(getattr(params, "stop", None) or ())
        self._held = max(map(len, self._stop), default=1) - 1

    @classmethod
    def from_new_request(cls, tokenizer: Any, request: Any) -> "FakeDetokenizer":
        return cls(request.sampling_params)

    def num_output_tokens(self) -> int:
        return len(self.output_token_ids)

    def update(self, new_token_ids: list[int], stop_terminated: bool) -> str | None:
        self.output_token_ids += new_token_ids
        for token in new_token_ids[:-1] if stop_terminated else new_token_ids:
            self.output_text += self._decoder.decode(bytes([token]))
            for stop in self._stop:
                if stop in self.output_text:
                    self.output_text = self.output_text[: self.output_text.index(stop)]
                    return stop
        return None

    def get_next_output_text(self, finished: bool, delta: bool) -> str:
        assert not delta
        return self.output_text[: len(self.output_text) - (0 if finished else self._held)]


class FakeLlm:
    """An AsyncLLM that plays a script, and then waits to be told that it may end."""

    def __init__(self, script: Script, *, endless: bool = False) -> None:
        self.renderer = self
        self.default_chat_tok_params = None
        self.default_cmpl_tok_params = TokenizeParams()
        self.tokenizing: TokenizeParams | None = None
        self.errored = False
        self.prompt_tokens = 3
        self.rendered: list[list[dict[str, Any]]] = []
        self.prompt: Any = None
        self.params: Any = None
        self.begun = asyncio.Event()
        self.unfinished: set[str] = set()
        self.stopped_after: float | None = None
        self.render_error: Exception | None = None
        self.template: dict[str, Any] = {}
        self.extras: list[dict[str, Any]] = []
        self.more: dict[str, Any] = {}
        self.adapters: list[Any] = []
        self.mm_processor: Any = None
        self.most_at_once = 0
        self._script = script
        self._endless = endless

    async def render_chat_async(
        self, conversations: Any, params: Any, tok_params: Any, *, prompt_extras: dict[str, Any]
    ) -> Any:
        if self.render_error is not None:
            raise self.render_error
        self.rendered += conversations
        self.template = params.chat_template_kwargs
        self.extras.append(prompt_extras)
        return conversations, [{"type": "token", "prompt_token_ids": list(range(self.prompt_tokens))}]

    async def render_cmpl_async(
        self, prompts: Any, tok_params: TokenizeParams | None = None, *, prompt_extras: dict[str, Any]
    ) -> Any:
        """Each character is a token; more than ten are too long."""
        self.extras.append(prompt_extras)
        self.tokenizing = tok_params
        (prompt,) = prompts
        ids = prompt.get("prompt_token_ids") or [ord(character) for character in prompt["prompt"]]
        if len(ids) > 10:
            raise InvalidError("Too long.", parameter="input_tokens")
        return [{"prompt_token_ids": ids}]

    async def encode(self, prompt: Any, params: Any, request_id: str) -> AsyncGenerator[Any, None]:
        """The vector of a prompt is its first token; with an endless script it never comes."""
        self.params = params
        self.unfinished.add(request_id)
        self.most_at_once = max(self.most_at_once, len(self.unfinished))
        self.begun.set()
        await (asyncio.Event().wait() if self._endless else asyncio.sleep(0))
        for step in self._script:
            if isinstance(step, Exception):
                raise step
        self.unfinished.remove(request_id)
        data = SimpleNamespace(tolist=lambda: [float(prompt["prompt_token_ids"][0])])
        yield SimpleNamespace(outputs=SimpleNamespace(data=data), finished=True)

    async def add_lora(self, adapter: Any) -> None:
        self.adapters.append(adapter)

    async def generate(self, prompt: Any, params: Any, request_id: str, **more: Any) -> AsyncGenerator[Output, None]:
        self.prompt = prompt
        self.params = params
        self.more = more
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


def fake_engine(llm: FakeLlm, *, admitted: int = 8, parser_class: Any = None, **fields: Any) -> Engine:
    """An engine of that AsyncLLM, with a context of 20 tokens."""
    same: Callable[..., Any] = SimpleNamespace
    api = Api(
        platform=None,
        AsyncEngineArgs=None,
        AsyncLLM=None,
        ChatCompletionRequest=FakeRequest,
        ChatParams=same,
        IncrementalDetokenizer=FakeDetokenizer,
        LoRARequest=same,
        ParserManager=None,
        PoolingParams=same,
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
        model_config=SimpleNamespace(is_matryoshka=False),
        parser_class=parser_class,
        **fields,
    )
