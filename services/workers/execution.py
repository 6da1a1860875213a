"""One attempt at a provider: the core under Session, Execute and Embed."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import structlog
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from prometheus_client import CollectorRegistry

from services.chassis.deadline import Deadline
from services.chassis.failure import Failure
from services.inference import capabilities
from services.workers.attempt_metrics import AttemptMetrics
from services.workers.grammar import Stream
from services.workers.provider import AttemptContext, Embedded, Provider, ServedModel
from services.workers.status import StatusBoard

LOG = structlog.get_logger()

# Takes an event; returns something to wait for when the reader must catch up first.
Emit = Callable[[generation.GenerationEvent], Awaitable[None] | None]

# Puts bytes where a spec has addresses.
Fill = Callable[[generation.GenerationSpec], Awaitable[generation.GenerationSpec]]

# Their metadata names the worker or the provider, whose names a provider does not know.
_REASONS_OF_WORKER = (reasons.ERROR_REASON_WORKER_SATURATED, reasons.ERROR_REASON_ENGINE_FAILED)
_REASONS_OF_PROVIDER = (
    reasons.ERROR_REASON_TRUNCATED,
    reasons.ERROR_REASON_PROVIDER_UNAVAILABLE,
    reasons.ERROR_REASON_PROVIDER_OVERLOADED,
    reasons.ERROR_REASON_PROVIDER_RATE_LIMITED,
    reasons.ERROR_REASON_PROVIDER_CREDENTIAL,
    reasons.ERROR_REASON_PROVIDER_REJECTED,
    reasons.ERROR_REASON_CONTENT_POLICY,
    reasons.ERROR_REASON_PROVIDER_MALFORMED,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What comes with a spec.

    Attributes:
        deadline: when the attempt ends, whatever it has come to.
        context: what the provider is told, and reports.
        attempt_id: for logs; may be empty.
        generation_id: likewise.
        drop_unsupported: whether parameters that the model does not have are left out.
    """

    deadline: Deadline
    context: AttemptContext = dataclasses.field(default_factory=AttemptContext)
    attempt_id: str = ""
    generation_id: str = ""
    drop_unsupported: bool = False


class Executor:
    """Runs attempts. Admission follows the worker's state: nothing begins while it loads or drains."""

    def __init__(self, board: StatusBoard, registry: CollectorRegistry) -> None:
        self._board = board
        self._metrics = AttemptMetrics(registry)
        self._provider: Provider | None = None
        self._fill: Fill | None = None
        self._drain_watchers: list[Callable[[], None]] = []

    @property
    def draining(self) -> bool:
        """Whether no attempt may begin any more."""
        return self._board.state in (worker_status.WORKER_STATE_DRAINING, worker_status.WORKER_STATE_FAILED)

    def begin_serving(self, provider: Provider, *, fill: Fill | None = None) -> None:
        """The provider is ready; `fill` is what a spec goes through before the provider sees it."""
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
        with self._attempt(spec.model, order) as ending:
            ending.stream = stream
            await self._generate(spec, emit, order, stream)

    async def embed(self, spec: embedding.EmbeddingSpec, order: Order) -> Embedded:
        """Run one embedding to its end.

        Raises:
            Failure: why it failed; DEADLINE_EXCEEDED when its time is up.
        """
        with self._attempt(spec.model, order) as ending:
            provider = self.admitted()
            model = self._model(provider, spec.model)
            needs = capabilities.required_by_embedding(spec)
            dropped: list[str] = []
            if order.drop_unsupported:
                spec, dropped = capabilities.without_unsupported(spec, needs, model.capabilities)
                needs = capabilities.required_by_embedding(spec)
            capabilities.check(needs, model.capabilities, name=spec.model, provider=self._board.worker)
            self._board.touch()
            async with _deadline(order, "The deadline passed before the vectors were there.", lambda: "total"):
                embedded = await provider.embed(spec, order.context)
            if len(embedded.embeddings) != len(spec.inputs):
                raise Failure(
                    reasons.ERROR_REASON_PROVIDER_MALFORMED,
                    f"The provider gave {len(embedded.embeddings)} vectors for {len(spec.inputs)} inputs.",
                )
            ending.usage = embedded.usage
        return embedded._replace(dropped_fields=dropped)

    @contextlib.contextmanager
    def _attempt(self, model: str, order: Order) -> Iterator["_Ending"]:
        """Count and log an attempt, and make one failure of whatever ends it."""
        ending = _Ending(time.perf_counter())
        reason = "CANCELLED"
        self._metrics.running.inc()
        try:
            yield ending
            reason = "OK"
        except Failure as failure:
            reason = failure.reason_name
            self._sign(failure)
            raise
        except asyncio.CancelledError as error:
            if _is_wanted():  # nobody cancelled us: something inside the provider was cancelled
                reason = "ENGINE_FAILED"
                raise self._crashed(error, order.attempt_id) from error
            raise
        except Exception as error:
            reason = "ENGINE_FAILED"
            raise self._crashed(error, order.attempt_id) from error
        finally:
            self._metrics.running.dec()
            self._metrics.ended.labels(reason).inc()
            self._board.touch()
            fields = self._finished(ending)
            if order.context.tries:
                fields["tries"] = len(order.context.tries)
            LOG.info(
                "attempt.finished",
                attempt_id=order.attempt_id,
                generation_id=order.generation_id,
                model=model,
                reason=reason,
                **fields,
            )

    def _sign(self, failure: Failure) -> None:
        """Name who failed, where that is not said yet."""
        if failure.reason in _REASONS_OF_WORKER:
            failure.metadata.setdefault("worker", self._board.worker)
        elif failure.reason in _REASONS_OF_PROVIDER:
            failure.metadata.setdefault("provider", self._board.kind)

    def _crashed(self, error: BaseException, attempt_id: str) -> Failure:
        LOG.error("attempt.crashed", attempt_id=attempt_id, error=type(error).__name__, exc_info=error)
        return Failure(
            reasons.ERROR_REASON_ENGINE_FAILED, "The worker failed to serve this request.", worker=self._board.worker
        )

    async def _generate(self, spec: generation.GenerationSpec, emit: Emit, order: Order, stream: Stream) -> None:
        provider = self.admitted()
        model = self._model(provider, spec.model)
        dropped: list[str] = []
        if order.drop_unsupported:
            needs = capabilities.required(spec)
            spec, dropped = capabilities.without_unsupported(spec, needs, model.capabilities)
        needs = capabilities.required(spec)
        capabilities.check(needs, model.capabilities, name=spec.model, provider=self._board.worker)
        self._board.touch()
        late = _deadline(
            order,
            "The deadline passed before the answer was whole.",
            lambda: "total" if stream.first_at else "first_token",
        )
        async with late:
            if self._fill is not None:
                spec = await self._fill(spec)
            async with contextlib.aclosing(provider.generate(spec, order.context)) as events:
                async for event in events:
                    stream.see(event, provider=self._board.worker)
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

    def _finished(self, ending: "_Ending") -> dict[str, object]:
        fields: dict[str, object] = {"ms": round((time.perf_counter() - ending.begun) * 1e3, 1)}
        stream, usage = ending.stream, ending.usage
        if stream is not None and stream.first_at:
            self._metrics.first_token.observe(stream.first_at - ending.begun)
            fields["first_token_ms"] = round((stream.first_at - ending.begun) * 1e3, 1)
        if stream is not None and stream.finished is not None:
            usage = stream.finished.usage
        if usage is not None:
            self._metrics.tokens.labels("input").inc(usage.input_tokens)
            self._metrics.tokens.labels("output").inc(usage.output_tokens)
            fields |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        return fields


@dataclasses.dataclass(slots=True)
class _Ending:
    """What an attempt came to: the events of a generation, or the tokens of an embedding."""

    begun: float
    stream: Stream | None = None
    usage: generation.Usage | None = None


@contextlib.asynccontextmanager
async def _deadline(order: Order, message: str, stage: Callable[[], str]) -> AsyncIterator[None]:
    """Fail what runs inside at the deadline."""
    scope = asyncio.timeout_at(order.deadline.at)
    try:
        async with scope:
            yield
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise Failure(reasons.ERROR_REASON_DEADLINE_EXCEEDED, message, stage=stage()) from error


def _is_wanted() -> bool:
    task = asyncio.current_task()
    return task is not None and not task.cancelling()
