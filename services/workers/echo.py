"""No model and no network: answers with the words of the last message, or of the prompt. For tests and demos."""

import asyncio
import contextlib
import dataclasses
import math
import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

import pydantic
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.worker.v1 import session_pb2 as session

from services.chassis.failure import Failure
from services.config.provider import EchoProvider
from services.workers.continuing import cannot_continue
from services.workers.echo_faults import FaultsFile
from services.workers.provider import AttemptContext, Embedded, Load, ServedModel

_CAPABILITIES = (
    model.CAPABILITY_CHAT,
    model.CAPABILITY_COMPLETIONS,
    model.CAPABILITY_CHOICES,
    model.CAPABILITY_SEED,
    model.CAPABILITY_PROVIDER_OPTIONS,
    model.CAPABILITY_EMBEDDINGS,
    model.CAPABILITY_DIMENSIONS,
    model.CAPABILITY_TOKEN_INPUTS,
)
_DIMENSIONS = 8
_CONTEXT_TOKENS = 1 << 20
_REASONS: dict[str, Any] = {name.removeprefix("ERROR_REASON_"): value for name, value in reasons.ErrorReason.items()}


class _Script(pydantic.BaseModel):
    """How one request is to be answered, given as the provider option `echo`."""

    model_config = pydantic.ConfigDict(extra="forbid")

    tokens: int | None = pydantic.Field(default=None, ge=0, le=1_000_000)
    first_token_ms: float | None = pydantic.Field(default=None, ge=0)
    token_ms: float | None = pydantic.Field(default=None, ge=0)
    fail: str = ""
    fail_after_tokens: int = pydantic.Field(default=0, ge=0)
    retry_after_ms: float | None = pydantic.Field(default=None, ge=0)
    cut_after_tokens: int | None = pydantic.Field(default=None, ge=0)
    hang_after_tokens: int | None = pydantic.Field(default=None, ge=0)

    @pydantic.field_validator("fail")
    @classmethod
    def _is_a_reason(cls, value: str) -> str:
        if value and value not in _REASONS:
            raise ValueError("no such reason")
        return value


class _Options(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    echo: _Script = _Script()


@contextlib.asynccontextmanager
async def open_provider(config: EchoProvider) -> AsyncIterator["Echo"]:
    """Load, for as long as the configuration says, then serve."""
    await asyncio.sleep(config.loading_ms / 1e3)
    yield Echo(config)


@dataclasses.dataclass(slots=True)
class Echo:
    """The provider. Its faults are drawn from a fixed seed, so that runs repeat."""

    config: EchoProvider
    running: int = 0
    rng: random.Random = dataclasses.field(default_factory=lambda: random.Random(0))
    _faults: FaultsFile = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self._faults = FaultsFile(self.config)

    @property
    def models(self) -> Sequence[ServedModel]:
        return [ServedModel(name, _CONTEXT_TOKENS, _CAPABILITIES) for name in self.config.models]

    @property
    def continues(self) -> bool:
        return True

    def load(self) -> Load:
        return Load(running=self.running, capacity=self.config.capacity)

    async def died(self) -> str:
        await asyncio.get_running_loop().create_future()  # nothing here can die
        return ""

    async def embed(self, spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
        dimensions, script = spec.dimensions or _DIMENSIONS, _script(spec.provider_options_json)
        self.running += 1
        try:
            await asyncio.sleep(_first_seconds(script, self._faults.settings()))
            await _obey(script, 0)
        finally:
            self.running -= 1
        contents = [item.SerializeToString(deterministic=True) for item in spec.inputs]
        made = {content: _vector(content, dimensions) for content in set(contents)}  # many of one kind cost little
        vectors = [made[content] for content in contents]
        tokens = sum(len(item.token_ids.ids) or len(_split(item.text)) for item in spec.inputs)
        return Embedded(vectors, generation.Usage(input_tokens=tokens), spec.model)

    async def generate(
        self, spec: generation.GenerationSpec, context: AttemptContext
    ) -> AsyncGenerator[generation.GenerationEvent, None]:
        settings = self._faults.settings()
        script = self._drawn(_script(spec.provider_options_json), settings)
        if settings.capacity and self.running >= settings.capacity:
            raise Failure(reasons.ERROR_REASON_WORKER_SATURATED, "Every place is taken.", retry_after=1.0)
        self.running += 1
        try:
            async with contextlib.aclosing(self._events(spec, script, settings, context.continuation)) as events:
                async for event in events:
                    yield event
        finally:
            self.running -= 1

    def _drawn(self, script: _Script, settings: EchoProvider) -> _Script:
        """The script, with the configuration's faults drawn in."""
        draw = self.rng.random()
        if draw < settings.failure_rate:
            return script.model_copy(update={"fail": "PROVIDER_UNAVAILABLE"})
        draw -= settings.failure_rate
        if draw < settings.cut_rate:
            return script.model_copy(update={"cut_after_tokens": 1})
        if draw - settings.cut_rate < settings.hang_rate:
            return script.model_copy(update={"hang_after_tokens": 0})
        return script

    async def _events(
        self,
        spec: generation.GenerationSpec,
        script: _Script,
        settings: EchoProvider,
        continuation: session.Continuation | None,
    ) -> AsyncGenerator[generation.GenerationEvent, None]:
        words = _words(spec)
        said = _said(words, continuation)
        wanted = len(words) if script.tokens is None else script.tokens
        limit = spec.max_output_tokens if spec.HasField("max_output_tokens") else wanted
        choices = spec.choices or 1
        pace = (settings.token_ms if script.token_ms is None else script.token_ms) / 1e3
        await asyncio.sleep(_first_seconds(script, settings))
        yield generation.GenerationEvent(started=generation.Started(provider_model=spec.model))
        total = min(wanted, limit)
        for number in range(said, total + 1):
            await _obey(script, number)
            if script.cut_after_tokens is not None and number >= script.cut_after_tokens:
                return
            if number == total:
                break
            if number > said:
                await _next_step(pace)
            token = number % (len(words) or 1)
            text = words[token] if words else " "
            for choice in range(choices):
                yield generation.GenerationEvent(
                    delta=generation.Delta(choice=choice, text=text, tokens=1, token_ids=[token])
                )
        reason = generation.FINISH_REASON_STOP if wanted <= limit else generation.FINISH_REASON_LENGTH
        usage = generation.Usage(
            input_tokens=_input_tokens(spec),
            output_tokens=max(0, total - said) * choices,
        )
        yield generation.GenerationEvent(finished=generation.Finished(reasons=[reason] * choices, usage=usage))


def _said(words: Sequence[str], continuation: session.Continuation | None) -> int:
    """How many tokens were said. A token's id is the place of its word.

    Raises:
        Failure: UNSUPPORTED, where they are not what this provider would have said.
    """
    if continuation is None:
        return 0
    count = len(continuation.token_ids)
    expected = [number % (len(words) or 1) for number in range(count)]
    text = "".join(words[token] if words else " " for token in expected)
    if list(continuation.token_ids) != expected or continuation.text != text:
        raise cannot_continue("That is not what the echo provider would have said.")
    return count


def _first_seconds(script: _Script, settings: EchoProvider) -> float:
    return (settings.first_token_ms if script.first_token_ms is None else script.first_token_ms) / 1e3


async def _obey(script: _Script, number: int) -> None:
    """The faults that are due before token `number`; the one after the last is the end of the answer."""
    if script.fail and number >= script.fail_after_tokens:
        retry_after = None if script.retry_after_ms is None else script.retry_after_ms / 1e3
        raise Failure(_REASONS[script.fail], "The echo provider was told to fail.", retry_after=retry_after)
    if script.hang_after_tokens is not None and number >= script.hang_after_tokens:
        await asyncio.get_running_loop().create_future()


async def _next_step(pace: float) -> None:
    """Wait for the next multiple of `pace` seconds: like an engine, all generations of a pace step together."""
    if not pace:
        await asyncio.sleep(0)
        return
    loop = asyncio.get_running_loop()
    step: asyncio.Future[None] = loop.create_future()
    # A moment on the grid may be closer than it seems: half a pace is the least wait, so that none is skipped.
    when = (math.floor(loop.time() / pace + 0.5) + 1) * pace
    timer = loop.call_at(when, _let_go, step)
    try:
        await step
    finally:
        timer.cancel()


def _let_go(step: asyncio.Future[None]) -> None:
    if not step.done():
        step.set_result(None)


def _script(options_json: str) -> _Script:
    if not options_json:
        return _Script()
    try:
        return _Options.model_validate_json(options_json).echo
    except pydantic.ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(("provider_options_json", *(str(part) for part in detail["loc"])))
        raise Failure(
            reasons.ERROR_REASON_UNSUPPORTED,
            f"`{field}` is not supported by the echo provider: {detail['msg']}",
            field=field,
            provider="echo",
        ) from error


def _input_tokens(spec: generation.GenerationSpec) -> int:
    if spec.HasField("prompt"):
        return len(_words(spec))
    texts = [part.text for message in spec.messages for part in message.parts if part.WhichOneof("content") == "text"]
    return sum(len(_split(text)) for text in texts)


def _words(spec: generation.GenerationSpec) -> list[str]:
    """The words of the prompt or the last user message, each with the white space before it. An id is a word."""
    if spec.HasField("prompt"):
        return _split(spec.prompt.text or " ".join(map(str, spec.prompt.token_ids.ids)))
    for message in reversed(spec.messages):
        if message.role == conversation.ROLE_USER:
            return _split("".join(part.text for part in message.parts))
    return []


def _vector(content: bytes, dimensions: int) -> embedding.Embedding:
    """A vector of length 1 that is always the same for the same content, and no other's."""
    rng = random.Random(content)
    values = [rng.gauss(0, 1) for _ in range(dimensions)]
    length = math.hypot(*values) or 1.0
    return embedding.Embedding(values=[value / length for value in values])


def _split(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)
