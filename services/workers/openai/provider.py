"""An OpenAI-compatible server as a provider."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, NoReturn

import openai
import orjson
import structlog
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model

from services.chassis.failure import Failure
from services.config.provider import OpenAIProvider
from services.workers.openai import encode, failures
from services.workers.openai.decode import Answer
from services.workers.openai.keys import KeyPool
from services.workers.openai.stream import Events, Stream
from services.workers.openai.transport import new_client
from services.workers.openai.upstream import clients, opened
from services.workers.provider import Load, ServedModel

LOG = structlog.get_logger()

_CAPABILITIES: dict[str, Any] = {
    name.removeprefix("CAPABILITY_").lower(): value for name, value in model.Capability.items()
}


@contextlib.asynccontextmanager
async def open_provider(config: OpenAIProvider) -> AsyncIterator["OpenAIServer"]:
    """Serve at once: whether the server is there, and takes our keys, shows with the first request."""
    async with new_client(config) as http:
        yield OpenAIServer(config, clients(config, http))


class OpenAIServer:
    """The provider. Implements `services.workers.provider.Provider`."""

    def __init__(self, config: OpenAIProvider, by_key: Sequence[openai.AsyncOpenAI]) -> None:
        self._config = config
        self._clients = by_key
        self._keys = [key.get_secret_value() for key in config.api_keys]
        self._pools = {name: KeyPool(len(by_key), pause_seconds=config.key_pause_seconds) for name in config.models}
        self._running = 0
        self._loop = asyncio.get_running_loop()
        capabilities = [_CAPABILITIES[name] for name in config.capabilities]
        self._models = tuple(ServedModel(name, config.context_tokens, capabilities) for name in config.models)

    @property
    def models(self) -> Sequence[ServedModel]:
        """What the configuration names."""
        return self._models

    def load(self) -> Load:
        """What runs here; how busy the server is, it does not tell."""
        return Load(running=self._running, capacity=self._config.max_concurrent)

    async def died(self) -> str:
        """Never: there is nothing here that can die."""
        await self._loop.create_future()
        return ""

    async def embed(self, spec: embedding.EmbeddingSpec) -> NoReturn:
        """Not offered yet."""
        raise failures.unsupported("model", "this worker has no embeddings")

    async def generate(self, spec: generation.GenerationSpec) -> AsyncGenerator[generation.GenerationEvent, None]:
        """Generate. Closing the generator closes the connection."""
        if self._config.max_concurrent and self._running >= self._config.max_concurrent:
            raise Failure(reasons.ERROR_REASON_WORKER_SATURATED, "This worker is full.", retry_after=1.0)
        body = orjson.dumps(
            encode.body(
                spec, max_tokens_field=self._config.max_tokens_field, reasoning_field=self._config.reasoning_field
            )
        )
        self._running += 1
        try:
            async with contextlib.AsyncExitStack() as stack:
                stream, events = await self._begun(spec, body, stack)
                started = generation.Started(provider_model=stream.answer.model or spec.model)
                yield generation.GenerationEvent(started=started)
                while events:
                    for event in events:
                        yield event
                    events = await stream.more(idle_seconds=self._config.idle_seconds)
                finished = stream.answer.finished()
            yield finished
        finally:
            self._running -= 1

    async def _begun(
        self, spec: generation.GenerationSpec, body: bytes, stack: contextlib.AsyncExitStack
    ) -> tuple[Stream, Events]:
        """A stream and its first content, from the first key that gets as far. Nothing is emitted before that."""
        pool = self._pools[spec.model]
        by = self._loop.time() + self._config.first_token_seconds
        failure: Failure | None = None
        for number in pool.turn(now=self._loop.time()):
            answer = Answer(choices=spec.choices or 1, prompt_bytes=len(body), keys=self._keys)
            try:
                async with contextlib.AsyncExitStack() as attempt:
                    stream = await attempt.enter_async_context(self._stream(number, body, answer, by))
                    events = await stream.first(by=by)
                    stack.push_async_exit(attempt.pop_all())
                    return stream, events
            except TimeoutError:
                raise failures.late("first_token", self._config.first_token_seconds) from None
            except Failure as caught:
                failure = caught
            if not pool.blame(number, failure, now=self._loop.time()):
                raise failure
            LOG.warning("key.failed", model=spec.model, key=number, reason=failure.reason_name)
        assert failure is not None  # a turn has at least one key
        raise pool.verdict(failure, now=self._loop.time())

    @contextlib.asynccontextmanager
    async def _stream(self, number: int, body: bytes, answer: Answer, by: float) -> AsyncIterator[Stream]:
        async with contextlib.AsyncExitStack() as stack:
            asked = opened(self._clients[number], body, keys=self._keys, connect_seconds=self._config.connect_seconds)
            async with asyncio.timeout_at(by):
                up = await stack.enter_async_context(asked)
            yield Stream(up, answer)
