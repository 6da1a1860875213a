"""What becomes of attempts: each is counted, logged, and ends as one failure if it fails."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Iterator

import structlog
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from prometheus_client import CollectorRegistry

from services.chassis import traceparent as w3c
from services.chassis.exemplar import exemplar_of
from services.chassis.failure import Failure
from services.inference.labels import OTHER
from services.inference.operation import operation_of
from services.workers.attempt_metrics import AttemptMetrics
from services.workers.grammar import Stream
from services.workers.order import Order
from services.workers.spans import AttemptSpans
from services.workers.status import StatusBoard

LOG = structlog.get_logger()

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


@dataclasses.dataclass(slots=True)
class Ending:
    """What an attempt came to: the events of a generation, or the tokens of an embedding."""

    begun: float
    stream: Stream | None = None
    usage: generation.Usage | None = None


class Account:
    """The account of a worker's attempts."""

    def __init__(self, board: StatusBoard, registry: CollectorRegistry) -> None:
        self._board = board
        self._metrics = AttemptMetrics(registry, kind=board.kind)
        self.spans: AttemptSpans | None = None

    @contextlib.contextmanager
    def attempt(self, spec: generation.GenerationSpec | embedding.EmbeddingSpec, order: Order) -> Iterator[Ending]:
        """Count, log and trace an attempt, and make one failure of whatever ends it."""
        ending = Ending(time.perf_counter())
        reason = "CANCELLED"
        span = None if self.spans is None else self.spans.begun(spec, order)
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
            self._board.touch()
            fields = self._finished(ending, spec, reason, order)
            if order.context.tries:
                fields["tries"] = len(order.context.tries)
            if span is not None and self.spans is not None:
                self.spans.ended(
                    span, order, reason=reason, stream=ending.stream, usage=ending.usage, begun=ending.begun
                )
            LOG.info(
                "attempt.finished",
                attempt_id=order.attempt_id,
                generation_id=order.generation_id,
                trace_id=w3c.trace_id(order.traceparent),
                model=spec.model,
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

    def _finished(
        self,
        ending: Ending,
        spec: generation.GenerationSpec | embedding.EmbeddingSpec,
        reason: str,
        order: Order,
    ) -> dict[str, object]:
        seconds, first_seconds = time.perf_counter() - ending.begun, None
        fields: dict[str, object] = {"ms": round(seconds * 1e3, 1)}
        stream, usage = ending.stream, ending.usage
        if stream is not None and stream.first_at:
            first_seconds = stream.first_at - ending.begun
            fields["first_token_ms"] = round(first_seconds * 1e3, 1)
        if stream is not None and stream.finished is not None:
            usage = stream.finished.usage
        if usage is not None:
            fields |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        self._metrics.ended(
            operation_of(spec),
            spec.model if self._board.serves(spec.model) else OTHER,
            "" if reason == "OK" else reason,
            seconds=seconds,
            first_seconds=first_seconds,
            usage=usage,
            exemplar=exemplar_of(order.traceparent),
        )
        return fields


def _is_wanted() -> bool:
    task = asyncio.current_task()
    return task is not None and not task.cancelling()
