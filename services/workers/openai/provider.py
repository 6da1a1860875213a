"""An OpenAI-compatible server as a provider."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

import orjson
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation

from services.config.provider import OpenAIProvider
from services.workers.openai import completion, embeddings, encode
from services.workers.openai.decode import Answer
from services.workers.openai.upstream import Heard, Server
from services.workers.provider import AttemptContext, Embedded, Load, ServedModel
from services.workers.vendor.asking import answered
from services.workers.vendor.headroom import readings
from services.workers.vendor.models import served
from services.workers.vendor.patience import Patience
from services.workers.vendor.pools import Pools
from services.workers.vendor.room import Room
from services.workers.vendor.stream import Events, Stream
from services.workers.vendor.transport import open_client
from services.workers.vendor.upstream import Upstream, whole

# 2048 vectors of 1536 numbers, 16 MiB, take 0.4 s, in which streams beside them should not stand still.
_LARGE_BYTES = 256 << 10
_CHAT = "/chat/completions"


@contextlib.asynccontextmanager
async def open_provider(config: OpenAIProvider) -> AsyncIterator["OpenAIServer"]:
    """Serve at once: whether the server is there, and takes our keys, shows with the first request."""
    async with open_client(config, url=config.base_url) as client:
        yield OpenAIServer(config, Server(config, client))


class OpenAIServer:
    """The provider. Implements `services.workers.provider.Provider`."""

    def __init__(self, config: OpenAIProvider, server: Server) -> None:
        self._config = config
        self._server = server
        self._models = served(config)
        self._pools = Pools(config)
        self._room = Room(config.max_concurrent)
        self._loop = asyncio.get_running_loop()

    @property
    def models(self) -> Sequence[ServedModel]:
        """What the configuration names."""
        return self._models

    @property
    def leases(self) -> int:
        """Requests under way with all keys."""
        return self._pools.leases

    @property
    def continues(self) -> bool:
        """No vendor takes tokens that another has drawn."""
        return False

    def load(self) -> Load:
        """What runs here, and what rate limits leave; how busy the server is, it does not tell."""
        headroom = self._pools.headroom(now=self._loop.time())
        return Load(running=self._room.taken, capacity=self._room.most, headroom=headroom)

    async def died(self) -> str:
        """Never: there is nothing here that can die."""
        await self._loop.create_future()
        return ""

    async def embed(self, spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
        """Turn inputs into vectors. Cancelling the task closes the connection."""
        body = orjson.dumps(embeddings.body(spec))
        patience, trace = Patience(self._config, now=self._loop.time()), context.traceparent
        with self._room.place():
            asked = answered(
                self._pools[spec.model], context, lambda key: self._embedded(key, spec, body, patience, trace)
            )
            async with asked as embedded:
                return embedded

    async def generate(
        self, spec: generation.GenerationSpec, context: AttemptContext
    ) -> AsyncGenerator[generation.GenerationEvent, None]:
        """Generate. Closing the generator closes the connection."""
        body = orjson.dumps(
            encode.body(
                spec, max_tokens_field=self._config.max_tokens_field, reasoning_field=self._config.reasoning_field
            )
        )
        patience, trace = Patience(self._config, now=self._loop.time()), context.traceparent
        with self._room.place():
            asked = answered(
                self._pools[spec.model], context, lambda key: self._begun(key, spec, body, patience, trace)
            )
            async with asked as (stream, answer, first):
                yield generation.GenerationEvent(started=generation.Started(provider_model=answer.model or spec.model))
                events = first
                while events:
                    for event in events:
                        yield event
                    events = await stream.more(patience=patience)
                finished = answer.finished()
            yield finished

    @contextlib.asynccontextmanager
    async def _begun(
        self, key: int, spec: generation.GenerationSpec, body: bytes, patience: Patience, trace: str
    ) -> AsyncIterator[tuple[Stream, Answer, Events]]:
        """A stream and its first content, with one of the keys."""
        kind, path = (completion.Answer, completion.PATH) if spec.HasField("prompt") else (Answer, _CHAT)
        answer = kind(choices=spec.choices or 1, prompt_bytes=len(body), keys=self._server.keys)
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout_at(patience.first_by):
                    asked = self._server.asked(
                        key, path, body, "text/event-stream", heard=self._listener(spec.model, key), traceparent=trace
                    )
                    response = await stack.enter_async_context(asked)
                stream = Stream(stack.enter_context(Upstream(response)), answer)
                events = await stream.first(by=patience.first_by)
            except TimeoutError:
                raise patience.without_first() from None
            yield stream, answer, events

    @contextlib.asynccontextmanager
    async def _embedded(
        self, key: int, spec: embedding.EmbeddingSpec, body: bytes, patience: Patience, trace: str
    ) -> AsyncIterator[Embedded]:
        """All vectors, with one of the keys."""
        asked = self._server.asked(
            key, "/embeddings", body, "application/json", heard=self._listener(spec.model, key), traceparent=trace
        )
        try:
            async with asyncio.timeout_at(patience.first_by), asked as response:
                data = await whole(response, most_bytes=embeddings.LONGEST_BYTES, by=patience.first_by)
        except TimeoutError:
            raise patience.without_first() from None
        if len(data) > _LARGE_BYTES:
            yield await asyncio.to_thread(embeddings.embedded, data, spec, keys=self._server.keys)
        else:
            yield embeddings.embedded(data, spec, keys=self._server.keys)

    def _listener(self, model: str, key: int) -> Heard:
        def heard(headers: Mapping[str, str]) -> None:
            self._pools[model].hear(key, readings(headers, now=time.time()), now=self._loop.time())

        return heard
