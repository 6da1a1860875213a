"""One attempt at a provider: the core under Session and Execute."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator

import structlog
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from prometheus_client import CollectorRegistry

from services.chassis.deadline import Deadline
from services.chassis.failure import Failure
from services.inference import capabilities
from services.workers.attempt_metrics import AttemptMetrics
from services.workers.grammar import Stream
from services.workers.provider import Provider, ServedModel
from services.workers.status import StatusBoard

LOG = structlog.get_logger()

# Takes an event; returns something to wait for when the reader must catch up first.
Emit = Callable[[generation.GenerationEvent], Awaitable[None] | None]


# Their metadata names the worker, whose name a provider does not know.
_REASONS_OF_WORKER = (reasons.ERROR_REASON_WORKER_SATURATED, reasons.ERROR_REASON_ENGINE_FAILED)


class Executor:
    """Runs attempts. Admission follows the worker's state: nothing begins while it loads or drains."""

    def __init__(self, board: StatusBoard, registry: CollectorRegistry) -> None:
        self._board = board
        self._metrics = AttemptMetrics(registry)
        self._provider: Provider | None = None
        self._drain_watchers: list[Callable[[], None]] = []

    @property
    def draining(self) -> bool:
        """Whether no attempt may begin any more."""
        return self._board.state in (worker_status.WORKER_STATE_DRAINING, worker_status.WORKER_STATE_FAILED)

    def begin_serving(self, provider: Provider) -> None:
        """The provider is ready."""
        self._provider = self._board.provider = provider
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

    async def run(
        self,
        spec: generation.GenerationSpec,
        emit: Emit,
        *,
        deadline: Deadline,
        attempt_id: str = "",
        generation_id: str = "",
    ) -> None:
        """Run one attempt to its end, handing each event to `emit`.

        Raises:
            Failure: why the attempt failed; DEADLINE_EXCEEDED when its time is up.
        """
        begun = time.perf_counter()
        stream = Stream()
        reason = "CANCELLED"
        self._metrics.running.inc()
        try:
            await self._generate(spec, emit, deadline, stream)
            reason = "OK"
        except Failure as failure:
            reason = failure.reason_name
            if failure.reason in _REASONS_OF_WORKER:
                failure.metadata.setdefault("worker", self._board.worker)
            raise
        except asyncio.CancelledError as error:
            if _is_wanted():  # nobody cancelled us: something inside the provider was cancelled
                reason = "ENGINE_FAILED"
                raise self._crashed(error, attempt_id) from error
            raise
        except Exception as error:
            reason = "ENGINE_FAILED"
            raise self._crashed(error, attempt_id) from error
        finally:
            self._metrics.running.dec()
            self._metrics.ended.labels(reason).inc()
            self._board.touch()
            fields = self._finished(stream, begun)
            LOG.info(
                "attempt.finished",
                attempt_id=attempt_id,
                generation_id=generation_id,
                model=spec.model,
                reason=reason,
                **fields,
            )

    def _crashed(self, error: BaseException, attempt_id: str) -> Failure:
        LOG.error("attempt.crashed", attempt_id=attempt_id, error=type(error).__name__, exc_info=error)
        return Failure(
            reasons.ERROR_REASON_ENGINE_FAILED, "The worker failed to serve this request.", worker=self._board.worker
        )

    async def _generate(self, spec: generation.GenerationSpec, emit: Emit, deadline: Deadline, stream: Stream) -> None:
        provider = self.admitted()
        model = self._model(provider, spec)
        capabilities.check(spec, model.capabilities, provider=self._board.worker)
        self._board.touch()
        scope = asyncio.timeout_at(deadline.at)
        try:
            async with scope, contextlib.aclosing(provider.generate(spec)) as events:
                async for event in events:
                    stream.see(event, provider=self._board.worker)
                    if stream.finished is not None:
                        break
                    wait = emit(event)
                    if wait is not None:
                        await wait
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise Failure(
                reasons.ERROR_REASON_DEADLINE_EXCEEDED,
                "The deadline passed before the answer was whole.",
                stage="total" if stream.first_at else "first_token",
            ) from error
        if stream.finished is None:
            raise Failure(
                reasons.ERROR_REASON_TRUNCATED,
                "The provider ended without saying how the answer ended.",
                provider=self._board.worker,
            )
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

    def _model(self, provider: Provider, spec: generation.GenerationSpec) -> ServedModel:
        for model in provider.models:
            if model.name == spec.model:
                return model
        raise Failure(
            reasons.ERROR_REASON_MODEL_NOT_FOUND,
            f"Worker {self._board.worker} serves no model `{spec.model}`.",
            model=spec.model,
        )

    def _finished(self, stream: Stream, begun: float) -> dict[str, object]:
        fields: dict[str, object] = {"ms": round((time.perf_counter() - begun) * 1e3, 1)}
        if stream.first_at:
            self._metrics.first_token.observe(stream.first_at - begun)
            fields["first_token_ms"] = round((stream.first_at - begun) * 1e3, 1)
        if stream.finished is not None:
            usage = stream.finished.usage
            self._metrics.tokens.labels("input").inc(usage.input_tokens)
            self._metrics.tokens.labels("output").inc(usage.output_tokens)
            fields |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        return fields


def _is_wanted() -> bool:
    task = asyncio.current_task()
    return task is not None and not task.cancelling()
