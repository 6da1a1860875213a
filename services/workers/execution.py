"""One attempt at a provider: the core under Session, Execute and Embed."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from prometheus_client import CollectorRegistry

from services.chassis.failure import Failure
from services.inference import capabilities
from services.workers.account import Account
from services.workers.continuing import cannot_continue
from services.workers.grammar import Stream
from services.workers.order import Order
from services.workers.provider import Embedded, Provider, ServedModel
from services.workers.spans import AttemptSpans
from services.workers.status import StatusBoard

# Takes an event; returns something to wait for when the reader must catch up first.
Emit = Callable[[generation.GenerationEvent], Awaitable[None] | None]

# Puts bytes where a spec has addresses.
Fill = Callable[[generation.GenerationSpec], Awaitable[generation.GenerationSpec]]


class Executor:
    """Runs attempts. Admission follows the worker's state: nothing begins while it loads or drains."""

    def __init__(self, board: StatusBoard, registry: CollectorRegistry) -> None:
        self._board = board
        self._account = Account(board, registry)
        self._provider: Provider | None = None
        self._fill: Fill | None = None
        self._drain_watchers: list[Callable[[], None]] = []

    @property
    def draining(self) -> bool:
        """Whether no attempt may begin any more."""
        return self._board.state in (worker_status.WORKER_STATE_DRAINING, worker_status.WORKER_STATE_FAILED)

    def begin_serving(self, provider: Provider, *, fill: Fill | None = None, spans: AttemptSpans | None = None) -> None:
        """The provider is ready.

        Args:
            provider: who serves.
            fill: what a spec goes through before the provider sees it.
            spans: makes the spans of attempts; without it there are none.
        """
        self._account.spans = spans
        self._provider = self._board.provider = provider
        self._fill = fill
        self._board.set_state(worker_status.WORKER_STATE_SERVING)

    def begin_draining(self, *, failed: bool = False) -> None:
        """Begin nothing more; tell the sessions, so that idle ones end."""
        self._board.set_state(worker_status.WORKER_STATE_FAILED if failed else worker_status.WORKER_STATE_DRAINING)
        for tell in self._drain_watchers:
            tell()

    @contextlib.contextmanager
    def watching_drain(self, tell: Callable[[], None]) -> Iterator[None]:
        """Call `tell` when draining begins, while the context lasts."""
        self._drain_watchers.append(tell)
        try:
            yield
        finally:
            self._drain_watchers.remove(tell)

    async def run(self, spec: generation.GenerationSpec, emit: Emit, order: Order) -> None:
        """Run one attempt to its end, handing each event to `emit`.

        Raises:
            Failure: why the attempt failed; DEADLINE_EXCEEDED when its time is up.
        """
        stream = Stream()
        with self._account.attempt(spec, order) as ending:
            ending.stream = stream
            await self._generate(spec, emit, order, stream)

    async def embed(self, spec: embedding.EmbeddingSpec, order: Order) -> Embedded:
        """Run one embedding to its end.

        Raises:
            Failure: why it failed; DEADLINE_EXCEEDED when its time is up.
        """
        with self._account.attempt(spec, order) as ending:
            provider = self.admitted()
            model = self._model(provider, spec.model)
            needs = capabilities.required_by_embedding(spec)
            dropped: list[str] = []
            if order.drop_unsupported:
                spec, dropped = capabilities.without_unsupported(spec, needs, model.capabilities)
                needs = capabilities.required_by_embedding(spec)
            capabilities.check(needs, model.capabilities, name=spec.model, provider=self._board.worker)
            self._board.touch()
            async with order.in_time("The deadline passed before the vectors were there.", lambda: "total"):
                embedded = await provider.embed(spec, order.context)
            if len(embedded.embeddings) != len(spec.inputs):
                raise Failure(
                    reasons.ERROR_REASON_PROVIDER_MALFORMED,
                    f"The provider gave {len(embedded.embeddings)} vectors for {len(spec.inputs)} inputs.",
                )
            ending.usage = embedded.usage
            self._board.emitted += 1
        return embedded._replace(dropped_fields=dropped)

    async def _generate(self, spec: generation.GenerationSpec, emit: Emit, order: Order, stream: Stream) -> None:
        provider = self.admitted()
        model = self._model(provider, spec.model)
        if order.context.continuation is not None and not provider.continues:
            raise cannot_continue("This provider goes on with no answer that another one began.")
        dropped: list[str] = []
        if order.drop_unsupported:
            needs = capabilities.required(spec)
            spec, dropped = capabilities.without_unsupported(spec, needs, model.capabilities)
        needs = capabilities.required(spec)
        capabilities.check(needs, model.capabilities, name=spec.model, provider=self._board.worker)
        self._board.prefixes.note(spec.model, order.prefix_hashes)
        self._board.touch()
        in_time = order.in_time(
            "The deadline passed before the answer was whole.",
            lambda: "total" if stream.first_at else "first_token",
        )
        async with in_time:
            if self._fill is not None:
                spec = await self._fill(spec)
            async with contextlib.aclosing(provider.generate(spec, order.context)) as events:
                async for event in events:
                    stream.see(event, provider=self._board.worker)
                    if stream.first_at or stream.finished is not None:  # that an attempt has begun is not yet progress
                        self._board.emitted += 1
                    if stream.finished is not None:
                        break
                    if dropped and event.HasField("started"):
                        event.started.dropped_fields.extend(dropped)
                    wait = emit(event)
                    if wait is not None:
                        await wait
        if stream.finished is None:
            raise Failure(reasons.ERROR_REASON_TRUNCATED, "The provider ended without saying how the answer ended.")
        # Only now that the generator is closed: no failure may follow `finished`.
        wait = emit(event)
        if wait is not None:
            await wait

    def admitted(self) -> Provider:
        """The provider, when it takes work.

        Raises:
            Failure: WORKER_LOADING or WORKER_DRAINING.
        """
        worker = self._board.worker
        if self.draining:
            raise Failure(reasons.ERROR_REASON_WORKER_DRAINING, f"Worker {worker} is draining.", worker=worker)
        if self._provider is None:
            raise Failure(
                reasons.ERROR_REASON_WORKER_LOADING,
                f"Worker {worker} is still loading.",
                worker=worker,
                retry_after=1.0,
            )
        return self._provider

    def _model(self, provider: Provider, name: str) -> ServedModel:
        for model in provider.models:
            if model.name == name:
                return model
        raise Failure(
            reasons.ERROR_REASON_MODEL_NOT_FOUND,
            f"Worker {self._board.worker} serves no model `{name}`.",
            model=name,
        )
