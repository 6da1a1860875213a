"""An OpenAI-compatible server as a provider."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import openai
import orjson
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.config.provider import OpenAIProvider
from services.workers.openai import encode
from services.workers.openai.decode import Answer
from services.workers.openai.failures import PROVIDER
from services.workers.openai.upstream import clients, opened
from services.workers.provider import AttemptContext, Embedded, Load, ServedModel
from services.workers.vendor import failures
from services.workers.vendor.asking import answered
from services.workers.vendor.keys import KeyPool
from services.workers.vendor.models import served
from services.workers.vendor.stream import Events, Stream
from services.workers.vendor.transport import new_client


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
        self._models = served(config)
        self._pools = {
            name: KeyPool(len(by_key), pause_seconds=config.key_pause_seconds) for name in config.model_names
        }
        self._running = 0
        self._loop = asyncio.get_running_loop()

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

    async def embed(self, spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
        """Not offered yet."""
        raise failures.unsupported("model", PROVIDER, "this worker has no embeddings")

    async def generate(
        self, spec: generation.GenerationSpec, context: AttemptContext
    ) -> AsyncGenerator[generation.GenerationEvent, None]:
        """Generate. Closing the generator closes the connection."""
        if self._config.max_concurrent and self._running >= self._config.max_concurrent:
            raise Failure(reasons.ERROR_REASON_WORKER_SATURATED, "This worker is full.", retry_after=1.0)
        body = orjson.dumps(
            encode.body(
                spec, max_tokens_field=self._config.max_tokens_field, reasoning_field=self._config.reasoning_field
            )
        )
        by = self._loop.time() + self._config.first_token_seconds
        self._running += 1
        try:
            asked = answered(self._pools[spec.model], context, lambda key: self._begun(key, spec, body, by))
            async with asked as (stream, answer, first):
                yield generation.GenerationEvent(started=generation.Started(provider_model=answer.model or spec.model))
                events = first
                while events:
                    for event in events:
                        yield event
                    events = await stream.more(idle_seconds=self._config.idle_seconds)
                finished = answer.finished()
            yield finished
        finally:
            self._running -= 1

    @contextlib.asynccontextmanager
    async def _begun(
        self, key: int, spec: generation.GenerationSpec, body: bytes, by: float
    ) -> AsyncIterator[tuple[Stream, Answer, Events]]:
        """A stream and its first content, with one of the keys."""
        answer = Answer(choices=spec.choices or 1, prompt_bytes=len(body), keys=self._keys)
        client, keys = self._clients[key], self._keys
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout_at(by):
                    asked = opened(client, body, keys=keys, connect_seconds=self._config.connect_seconds)
                    up = await stack.enter_async_context(asked)
                stream = Stream(up, answer)
                events = await stream.first(by=by)
            except TimeoutError:
                raise failures.late("first_token", self._config.first_token_seconds) from None
            yield stream, answer, events
