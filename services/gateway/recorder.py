"""What became of each request: one ledger record, one log line, the metrics."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import structlog
from google.protobuf import timestamp_pb2
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.failure import Failure
from services.config.tariff import micros
from services.gateway.abandoned import SHADOW, abandoned
from services.gateway.call import Call
from services.gateway.content.hearing import Heard
from services.gateway.content.keeping import Contents
from services.gateway.pricing.book import PriceBook
from services.gateway.pricing.charge import Charge, charged
from services.gateway.quota.estimates import Estimates
from services.gateway.quota.reservation import UNLIMITED, Reservation
from services.gateway.request_metrics import RequestMetrics
from services.gateway.run import Run
from services.gateway.spool.open_requests import OpenRequest
from services.gateway.spool.spool import Spool
from services.inference.attempts import kind_word

LOG = structlog.get_logger()

_SHED = (
    reasons.ERROR_REASON_FLEET_SATURATED,
    reasons.ERROR_REASON_WORKER_SATURATED,
    reasons.ERROR_REASON_RATE_LIMITED,
    reasons.ERROR_REASON_QUOTA_EXHAUSTED,
)
_MILLION = 1_000_000
_NAMES = {
    number: value.name.removeprefix("OUTCOME_").lower()
    for number, value in ledger.Outcome.DESCRIPTOR.values_by_number.items()
}


@dataclasses.dataclass(slots=True)
class Entry:
    """The record of one request while it runs. Times are seconds since 1970.

    Attributes:
        record: what is known of it, with its attempts: written as it stands at the end, and never copied.
        kept: where what is known of it outlives this process, until its record is on disk.
        book: what it is charged by, whatever the configuration becomes meanwhile.
        reservation: its part of its key's limits, settled at its end.
        estimates: by which that was made.
        served: the attempt whose answer the caller has; before there is one, the latest. Never a shadow.
        request: what was written of it; None until then.
        refused_by: how the router came to refuse it; None where it did not.
        spent: what its attempts have cost that have ended, shadows aside, in nano-USD.
        heard: hears what the caller is given; None where nothing of it is to be kept.
    """

    generation_id: str
    call: Call[Any]
    received_at: float
    record: ledger.LedgerRecord
    kept: OpenRequest
    book: PriceBook
    reservation: Reservation = UNLIMITED
    estimates: Estimates | None = None
    first_content_at: float | None = None
    usage: generation.Usage | None = None
    finish_reasons: tuple[generation.FinishReason, ...] = ()
    provider_model: str = ""
    served: ledger.AttemptRecord | None = None
    request: ledger.RequestRecord | None = None
    refused_by: routing.Decision | None = None
    spent: int = 0
    heard: Heard | None = None

    @property
    def so_far(self) -> ledger.RequestRecord:
        """What is known of the request itself."""
        return self.record.request

    def asked(self, ask: placement.PlacementAsk) -> None:
        """The router is asked for a place."""
        request = self.so_far
        request.estimated_input_tokens = ask.input_tokens
        request.max_output_tokens = ask.max_output_tokens
        request.prefix_hashes[:] = ask.prefix_hashes

    @property
    def tried(self) -> int:
        """Number of attempts so far, shadows aside."""
        return sum(attempt.kind != SHADOW for attempt in self.record.attempts)

    def attempt_begins(self, placed: placement.Placement, follows: str) -> ledger.AttemptRecord:
        """Another attempt has been placed, which `follows` the one with that id; "" is none."""
        attempts = self.record.attempts
        record = attempts.add(
            attempt_id=placed.attempt_id,
            number=len(attempts) + 1,
            provider=placed.provider,
            worker=placed.worker,
            provider_model=placed.provider_model,
            strategy=placed.strategy,
            placed_at=_timestamp(time.time()),
            kind=kind_word(placed.kind),
            decision=placed.decision if placed.HasField("decision") else None,
            follows=follows,
        )
        if record.number == 1:
            self.so_far.placed_at.CopyFrom(record.placed_at)
        if record.kind != SHADOW and self.first_content_at is None:
            self.served = record
        return record


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
    ) -> None:
        """`run` identifies this process's life, a UUIDv7."""
        self._spool = spool
        self._metrics = metrics
        self._contents = contents
        self._run = run
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
            received_at=_timestamp(received_at),
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
        heard = self._contents.listen(call.grant)
        return Entry(generation_id, call, received_at, record, kept, self._book, reservation, estimates, heard=heard)

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
            more.first_content_at.CopyFrom(_timestamp(first_content_at))
        entry.kept.tell(more)

    def attempt_ended(self, entry: Entry, run: Run, failure: Failure | None) -> None:
        """An attempt of a request has ended, and is charged."""
        attempt, charge = run.record, _charge(entry, run, failure)
        begun, placed_at = run.first_content_at is not None, attempt.placed_at
        placed_micros = placed_at.seconds * _MILLION + placed_at.nanos // 1000
        attempt.ended_at.CopyFrom(_stamp(placed_micros + micros(run.seconds)))
        if run.first_content_at is not None:
            attempt.first_content_at.CopyFrom(_timestamp(run.first_content_at))
        attempt.outcome = outcome_of(failure, begun=begun)
        if failure is not None:
            attempt.error_reason = failure.reason_name
        if charge.usage is not None:
            attempt.usage.CopyFrom(charge.usage)
        if run.tries:
            attempt.tries.extend(run.tries)
        attempt.cost_nano_usd = _cost(entry, run, charge)
        if attempt.kind != SHADOW:
            entry.spent += attempt.cost_nano_usd
        self._metrics.attempt_ended(attempt.provider, attempt.worker, _name(attempt.outcome), attempt.error_reason)

    def cost(self, entry: Entry, run: Run, failure: Failure | None) -> int:
        """What an attempt costs that has ended, in nano-USD, by the prices that its request began with."""
        return _cost(entry, run, _charge(entry, run, failure))

    def attempt_left(self, entry: Entry, attempt: ledger.AttemptRecord) -> None:
        """An attempt that has ended is left behind by its request, which goes on."""
        more = ledger.AttemptRecord()
        more.CopyFrom(attempt)
        more.ClearField("decision")  # told when it began
        entry.kept.tell(more)

    def end(self, entry: Entry, failure: Failure | None) -> None:
        """A request has ended."""
        ended_at = time.time()
        request = entry.request = entry.so_far
        request.ended_at.CopyFrom(_timestamp(ended_at))
        request.outcome = outcome_of(failure, begun=entry.first_content_at is not None or entry.spent > 0)
        request.cost_nano_usd = entry.spent
        if failure is not None:
            request.error_reason = failure.reason_name
        request.finish_reasons.extend(entry.finish_reasons)
        if entry.usage is not None:
            request.usage.CopyFrom(entry.usage)
        if entry.served is not None:
            request.provider = entry.served.provider
            request.worker = entry.served.worker
            request.provider_model = entry.served.provider_model
        if entry.provider_model:
            request.provider_model = entry.provider_model
        if entry.refused_by is not None:
            request.refused_by.CopyFrom(entry.refused_by)
        if entry.first_content_at is not None:
            request.first_content_at.CopyFrom(_timestamp(entry.first_content_at))
        tokens = request.usage.input_tokens + request.usage.output_tokens
        entry.reservation.settle(tokens, request.cost_nano_usd)
        self._spool.append(_ended(entry.record), ends=entry.kept)
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
        found = self._spool.left
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
        model = self._models.get(request.model, "other")
        self._metrics.running.dec()
        metrics = self._metrics.of(request.api, model)
        metrics.ended(_name(request.outcome), request.error_reason)
        metrics.seconds.observe(ended_at - entry.received_at)
        if entry.first_content_at is not None:
            metrics.first_content.observe(entry.first_content_at - entry.received_at)
        if entry.usage is not None:
            metrics.input_tokens.inc(entry.usage.input_tokens)
            metrics.output_tokens.inc(entry.usage.output_tokens)
        LOG.info(
            "request.finished",
            generation_id=entry.generation_id,
            api=request.api,
            operation=request.operation,
            model=model,
            outcome=_name(request.outcome),
            reason=request.error_reason,
            worker=request.worker,
            attempts=entry.tried,
            output_tokens=request.usage.output_tokens,
            cost_nano_usd=request.cost_nano_usd,
            ms=round((ended_at - entry.received_at) * 1e3, 1),
            edge_request_id=request.edge_request_id,
        )


def _ended(record: ledger.LedgerRecord) -> ledger.LedgerRecord:
    """A request's record, without attempts that still run: a shadow is written down when it ends."""
    ended = [attempt for attempt in record.attempts if attempt.HasField("ended_at")]
    if len(ended) == len(record.attempts):
        return record
    return ledger.LedgerRecord(request=record.request, attempts=ended)


def outcome_of(failure: Failure | None, *, begun: bool) -> ledger.Outcome:
    """How a request or an attempt with this failure ended. What had content, or is paid for, was not shed."""
    if failure is None:
        return ledger.OUTCOME_SUCCESS
    if failure.reason == reasons.ERROR_REASON_CANCELLED:
        return ledger.OUTCOME_CANCELLED
    if failure.reason == reasons.ERROR_REASON_DEADLINE_EXCEEDED:
        return ledger.OUTCOME_DEADLINE
    if failure.reason in _SHED and not begun:
        return ledger.OUTCOME_SHED
    return ledger.OUTCOME_ERROR


def _charge(entry: Entry, run: Run, failure: Failure | None) -> Charge:
    return charged(
        run.usage,
        failure,
        input_tokens=entry.so_far.estimated_input_tokens,
        started=run.started,
        begun=run.first_content_at is not None,
        finished=run.finished,
    )


def _cost(entry: Entry, run: Run, charge: Charge) -> int:
    attempt = run.record
    if not charge.timed:
        return 0
    return entry.book.cost(attempt.provider, attempt.provider_model, charge.usage, run.seconds)


def _name(outcome: ledger.Outcome) -> str:
    return str(_NAMES[outcome])


def _timestamp(seconds: float) -> timestamp_pb2.Timestamp:
    """To the microsecond: the ledger keeps no more, and times that are charged are differences of these."""
    return _stamp(int(seconds * 1e6))


def _stamp(microseconds: int) -> timestamp_pb2.Timestamp:
    # Several for each request, and the message's own methods take three times as long.
    seconds, rest = divmod(microseconds, _MILLION)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=rest * 1000)
