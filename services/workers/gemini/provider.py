"""The Gemini API as a provider."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager

import aiohttp
import orjson
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.config.provider import GeminiProvider
from services.workers.gemini import embeddings, encode
from services.workers.gemini.decode import Answer
from services.workers.gemini.signatures import Memory, Signatures
from services.workers.gemini.upstream import Api, resource
from services.workers.provider import AttemptContext, Embedded, Load, ServedModel
from services.workers.vendor.asking import answered
from services.workers.vendor.models import served
from services.workers.vendor.patience import Patience
from services.workers.vendor.pools import Pools
from services.workers.vendor.room import Room
from services.workers.vendor.stream import Events, Stream
from services.workers.vendor.transport import open_client
from services.workers.vendor.upstream import Upstream, whole
from services.workers.vendor.usage import estimated
from services.workers.vendor.vectors import check

# An answer that is not streamed; the longest that models give have some hundred KiB.
_ANSWER_BYTES = 8 << 20
# A hundred vectors of 3072 numbers have about 7 MB.
_VECTORS_BYTES = 32 << 20
# Reading those takes a tenth of a second, in which streams beside them should not stand still.
_LARGE_BYTES = 256 << 10


@contextlib.asynccontextmanager
async def open_provider(config: GeminiProvider) -> AsyncIterator["Gemini"]:
    """Serve at once: whether the API is there, and takes our keys, shows with the first request."""
    async with open_client(config, url=config.base_url) as client:
        yield Gemini(config, Api(config, client))


class Gemini:
    """The provider. Implements `services.workers.provider.Provider`."""

    def __init__(self, config: GeminiProvider, api: Api) -> None:
        self._config = config
        self._api = api
        self._models = served(config)
        self._pools = Pools(config)
        self._signatures = Signatures()
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
        """What runs here; how busy the API is it does not tell, and of its limits only that one is used up."""
        return Load(running=self._room.taken, capacity=self._room.most)

    async def died(self) -> str:
        """Never: there is nothing here that can die."""
        await self._loop.create_future()
        return ""

    async def embed(self, spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
        """Embed. The API says nothing of tokens, so that they are estimated."""
        model = resource(spec.model)
        bodies = [orjson.dumps(body) for body in embeddings.bodies(spec, model)]
        patience, trace = Patience(self._config, now=self._loop.time()), context.traceparent
        with self._room.place():
            asked = answered(
                self._pools[spec.model], context, lambda key: self._embedded(key, spec, bodies, patience, trace)
            )
            async with asked as vectors:
                usage = estimated(prompt_bytes=sum(len(item.text.encode()) for item in spec.inputs))
                return Embedded(vectors, usage, spec.model)

    async def generate(
        self, spec: generation.GenerationSpec, context: AttemptContext
    ) -> AsyncGenerator[generation.GenerationEvent, None]:
        """Generate. Closing the generator closes the connection."""
        memory = Memory(self._signatures, context.tenant, spec.model)
        body = orjson.dumps(encode.body(spec, memory, files_at=self._api.root))
        patience, trace = Patience(self._config, now=self._loop.time()), context.traceparent
        with self._room.place():
            asked = answered(
                self._pools[spec.model], context, lambda key: self._begun(key, spec, memory, body, patience, trace)
            )
            async with asked as (stream, answer, first):
                yield generation.GenerationEvent(started=generation.Started(provider_model=answer.model or spec.model))
                events = first
                while events:
                    for event in events:
                        yield event
                    events = await stream.more(patience=patience) if stream else []
                finished = answer.finished()
            yield finished

    @contextlib.asynccontextmanager
    async def _begun(
        self,
        key: int,
        spec: generation.GenerationSpec,
        memory: Memory,
        body: bytes,
        patience: Patience,
        trace: str,
    ) -> AsyncIterator[tuple[Stream | None, Answer, Events]]:
        """An answer and its first content, with one of the keys. Without a stream, all of it is there."""
        answer = Answer(
            choices=spec.choices or 1,
            prompt_bytes=len(body),
            memory=memory,
            new_id=_call_id,
            one_call=spec.HasField("parallel_tool_calls") and not spec.parallel_tool_calls,
            keys=self._api.keys,
        )
        stream: Stream | None = None
        async with contextlib.AsyncExitStack() as stack:
            if self._config.stream:
                asked = self._api.asked(
                    key,
                    spec.model,
                    "streamGenerateContent?alt=sse",
                    body,
                    "text/event-stream",
                    traceparent=trace,
                )
                with _in_time(patience.without_first):
                    async with asyncio.timeout_at(patience.first_by):
                        response = await stack.enter_async_context(asked)
                    stream = Stream(stack.enter_context(Upstream(response)), answer)
                    events = await stream.first(by=patience.first_by)
            else:
                asked = self._api.asked(key, spec.model, "generateContent", body, "application/json", traceparent=trace)
                with _in_time(patience.without_end):  # its first word comes with its last
                    said = await _whole(asked, most_bytes=_ANSWER_BYTES, by=patience.total_by)
                events = answer.events(said)
                answer.finished()  # not whole: told before anything is
            yield stream, answer, events

    @contextlib.asynccontextmanager
    async def _embedded(
        self,
        key: int,
        spec: embedding.EmbeddingSpec,
        bodies: Sequence[bytes],
        patience: Patience,
        trace: str,
    ) -> AsyncIterator[list[embedding.Embedding]]:
        vectors: list[embedding.Embedding] = []
        with _in_time(patience.without_first):
            for body in bodies:
                asked = self._api.asked(
                    key, spec.model, "batchEmbedContents", body, "application/json", traceparent=trace
                )
                said = await _whole(asked, most_bytes=_VECTORS_BYTES, by=patience.first_by)
                if len(said) > _LARGE_BYTES:
                    vectors += await asyncio.to_thread(embeddings.vectors, said, keys=self._api.keys)
                else:
                    vectors += embeddings.vectors(said, keys=self._api.keys)
        check((len(one.values) for one in vectors), spec)
        yield vectors


@contextlib.contextmanager
def _in_time(late: Callable[[], Failure]) -> Iterator[None]:
    """Say of what is late in here what `late` says."""
    try:
        yield
    except TimeoutError:
        raise late() from None


async def _whole(asked: AbstractAsyncContextManager[aiohttp.ClientResponse], *, most_bytes: int, by: float) -> bytes:
    """All of an answer that is not streamed.

    Raises:
        TimeoutError: when it is not there by that moment.
        Failure: as of `asked`, and of whatever is no whole answer.
    """
    async with asyncio.timeout_at(by), asked as response:
        return await whole(response, most_bytes=most_bytes, by=by)


def _call_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"
