"""What became of each request: one ledger record, one log line, the metrics."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import structlog
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.exemplar import exemplar_of
from services.chassis.failure import Failure
from services.gateway.abandoned import abandoned
from services.gateway.call import Call
from services.gateway.content.keeping import Contents
from services.gateway.entry import Entry
from services.gateway.outcome import outcome_word
from services.gateway.overview.recent import Recent
from services.gateway.pricing.book import PriceBook
from services.gateway.quota.estimates import Estimates
from services.gateway.quota.reservation import UNLIMITED, Reservation
from services.gateway.request_metrics import RequestMetrics
from services.gateway.run import Run
from services.gateway.spans import Spans
from services.gateway.spool.spool import Spool
from services.gateway.stamp import stamp
from services.inference.labels import OTHER

LOG = structlog.get_logger()


class Recorder:
    """Writes each request down, exactly once, when it ends."""

    def __init__(
        self,
        spool: Spool,
        metrics: RequestMetrics,
        contents: Contents,
        *,
        run: str,
        config_version: str,
        models: Mapping[str, str],
        book: PriceBook,
        spans: Spans | None = None,
    ) -> None:
        """`run` identifies this process's life, a UUIDv7; without `spans` there are no traces.

        Who shows the latest requests reads `recent`.
        """
        self._spool = spool
        self._metrics = metrics
        self._contents = contents
        self._run = run
        self._spans = spans
        self.recent = Recent()
        self._told = ""  # the version of the prices that the ledger was told last
        self.reconfigure(config_version=config_version, models=models, book=book)

    def reconfigure(self, *, config_version: str, models: Mapping[str, str], book: PriceBook) -> None:
        """Requests that begin from now on are served by that configuration; `models` has own names by all names."""
        self._config_version = config_version
        self._models = models
        self._book = book
        if book.version != self._told:
            self._told = book.version
            self._spool.append_prices(book.table)

    def begin(
        self,
        generation_id: str,
        call: Call[Any],
        reservation: Reservation = UNLIMITED,
        received_at: float | None = None,
        estimates: Estimates | None = None,
    ) -> Entry:
        """A request is accepted that was received at that time, seconds since 1970; default: now.

        Raises:
            Failure: ACCOUNTING_UNAVAILABLE where it could not be written down.
        """
        self._spool.check(strict=call.grant.strict)
        received_at = time.time() if received_at is None else received_at
        record = ledger.LedgerRecord()
        request = ledger.RequestRecord(
            generation_id=generation_id,
            api=call.api,
            operation=call.operation,
            model=call.spec.model,
            streamed=call.streamed,
            received_at=stamp(received_at),
            config_version=self._config_version,
            user=call.spec.user,
            edge_request_id=call.edge_request_id,
            trace_id=call.trace_id,
            key_id=call.grant.key_id,
            owner=call.grant.owner,
            gateway_run=self._run,
            price_version=self._book.version,
            session=call.routing.session,
            criticality=call.routing.criticality or routing.CRITICALITY_CRITICAL,
        )
        record.request.CopyFrom(request)
        kept = self._spool.opened(request)
        self._metrics.running.inc()
        self.recent.begins()
        heard = self._contents.listen(call.grant)
        spans = None
        if self._spans is not None:
            spans = self._spans.request(call, self._models.get(call.spec.model, "other"), received_at)
        return Entry(
            generation_id, call, received_at, record, kept, self._book, reservation, estimates, heard=heard, spans=spans
        )

    @contextlib.contextmanager
    def refusing(self, call: Call[Any]) -> Iterator[None]:
        """What fails in here was never accepted. It has no record."""
        received_at = time.time()
        try:
            yield
        except Failure as failure:
            if self._spans is not None:
                self._spans.refused(call, self._models.get(call.spec.model, "other"), received_at, failure)
            raise

    def attempt_begins(self, entry: Entry, placed: placement.Placement, *, follows: str = "") -> ledger.AttemptRecord:
        """Another attempt at a request has been placed.

        Args:
            entry: the request.
            placed: where.
            follows: the id of the attempt that it retries, runs beside or goes on with; "" for the first.
        """
        attempt = entry.attempt_begins(placed, follows)
        if attempt.number == 1:
            entry.kept.placed(entry.so_far, attempt)
        else:
            entry.kept.tell(attempt)
        return attempt

    def attempt_goes_on(
        self,
        entry: Entry,
        attempt: ledger.AttemptRecord,
        usage: generation.Usage | None,
        first_content_at: float | None,
    ) -> None:
        """An attempt has used so much by now. Told once in a while, for the case that this process is lost."""
        more = ledger.AttemptRecord(attempt_id=attempt.attempt_id, usage=usage)
        if first_content_at is not None:
            more.first_content_at.CopyFrom(stamp(first_content_at))
        entry.kept.tell(more)

    def attempt_ended(self, entry: Entry, run: Run, failure: Failure | None) -> None:
        """An attempt of a request has ended, and is charged."""
        attempt = entry.attempt_ended(run, failure)
        self._metrics.attempt_ended(attempt, model=self._models.get(entry.so_far.model, OTHER))

    def attempt_left(self, entry: Entry, attempt: ledger.AttemptRecord) -> None:
        """An attempt that has ended is left behind by its request, which goes on."""
        more = ledger.AttemptRecord()
        more.CopyFrom(attempt)
        more.ClearField("decision")  # told when it began
        entry.kept.tell(more)

    def end(self, entry: Entry, failure: Failure | None) -> None:
        """A request has ended."""
        ended_at = time.time()
        request = entry.ends(failure, ended_at)
        tokens = request.usage.input_tokens + request.usage.output_tokens
        entry.reservation.settle(tokens, request.cost_nano_usd)
        record = entry.whole()
        self._spool.append(record, ends=entry.kept)
        self.recent.ended(record)
        self._observe(entry, request, ended_at)
        if entry.heard is not None:
            self._contents.keep(entry.generation_id, entry.call, entry.heard)

    def shadow_ended(self, entry: Entry, attempt: ledger.AttemptRecord) -> None:
        """A shadow has ended: it is written down with its request, or after it where that was sooner."""
        if entry.request is not None:
            self._spool.append(ledger.LedgerRecord(request=entry.request, attempts=[attempt]))
        else:
            self.attempt_left(entry, attempt)

    async def durable(self) -> None:
        """Wait until what was written down so far is on disk.

        Raises:
            Failure: ACCOUNTING_UNAVAILABLE when it cannot be written now. It is still kept, and tried again.
        """
        await self._spool.flushed()

    def take_over(self) -> None:
        """Write down what an earlier process of this gateway left under way. Before requests are taken."""
        found, self._spool.left = self._spool.left, []
        ended = sum(one.ended for one in found)
        # What any of them was last known to do was done while that process lived.
        at = max((one.written_at for one in found), default=0.0)
        for one in found:
            if one.ended:
                self._spool.append(one.record, ends=one.request)
            else:
                record = abandoned(one.record, at=at, cost=self._book.cost, price_version=self._book.version)
                self._spool.append_abandoned(record, ends=one.request)
        if found:
            LOG.warning("spool.taken_over", abandoned=len(found) - ended, ended=ended)

    def _observe(self, entry: Entry, request: ledger.RequestRecord, ended_at: float) -> None:
        model = self._models.get(request.model, OTHER)
        self._metrics.running.dec()
        first_at = entry.first_content_at
        self._metrics.request_ended(
            request,
            model=model,
            seconds=ended_at - entry.received_at,
            first_content_seconds=None if first_at is None else first_at - entry.received_at,
            usage=entry.usage,
            exemplar=exemplar_of(entry.call.traceparent),
        )
        LOG.info(
            "request.finished",
            generation_id=entry.generation_id,
            trace_id=request.trace_id,
            api=request.api,
            operation=request.operation,
            model=model,
            outcome=outcome_word(request.outcome),
            reason=request.error_reason,
            worker=request.worker,
            attempts=entry.tried,
            output_tokens=request.usage.output_tokens,
            cost_nano_usd=request.cost_nano_usd,
            ms=round((ended_at - entry.received_at) * 1e3, 1),
            edge_request_id=request.edge_request_id,
        )
