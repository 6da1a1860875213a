"""What is known of one request while it runs, and what it comes to."""

import dataclasses
import time
from typing import Any

from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.failure import Failure
from services.config.tariff import micros
from services.gateway.abandoned import SHADOW
from services.gateway.call import Call
from services.gateway.content.hearing import Heard
from services.gateway.outcome import outcome_of
from services.gateway.pricing.book import PriceBook
from services.gateway.pricing.charge import Charge, charged
from services.gateway.quota.estimates import Estimates
from services.gateway.quota.reservation import UNLIMITED, Reservation
from services.gateway.run import Run
from services.gateway.spans import RequestSpans
from services.gateway.spool.open_requests import OpenRequest
from services.gateway.stamp import stamp, stamp_after
from services.inference.attempts import kind_word


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
        spans: its spans; None where there are none.
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
    spans: RequestSpans | None = None

    @property
    def so_far(self) -> ledger.RequestRecord:
        """What is known of the request itself."""
        return self.record.request

    def traceparent(self, attempt_id: str = "") -> str:
        """The trace context that goes on from here: below the attempt with that id, or else below the request."""
        if self.spans is None:
            return self.call.traceparent
        return self.spans.of_attempt(attempt_id) if attempt_id else self.spans.traceparent

    def asked(self, ask: placement.PlacementAsk) -> None:
        """The router is asked for a place."""
        ask.traceparent = self.traceparent()
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
            placed_at=stamp(time.time()),
            kind=kind_word(placed.kind),
            decision=placed.decision if placed.HasField("decision") else None,
            follows=follows,
        )
        if record.number == 1:
            self.so_far.placed_at.CopyFrom(record.placed_at)
        if record.kind != SHADOW and self.first_content_at is None:
            self.served = record
        if self.spans is not None:
            self.spans.attempt_begins(record)
        return record

    def attempt_ended(self, run: Run, failure: Failure | None) -> ledger.AttemptRecord:
        """An attempt has ended, and is charged."""
        attempt, charge = run.record, self._charge(run, failure)
        attempt.ended_at.CopyFrom(stamp_after(attempt.placed_at, micros(run.seconds)))
        if run.first_content_at is not None:
            attempt.first_content_at.CopyFrom(stamp(run.first_content_at))
        attempt.outcome = outcome_of(failure, begun=run.first_content_at is not None)
        if failure is not None:
            attempt.error_reason = failure.reason_name
        if charge.usage is not None:
            attempt.usage.CopyFrom(charge.usage)
        if run.tries:
            attempt.tries.extend(run.tries)
        attempt.cost_nano_usd = self._cost(run, charge)
        if attempt.kind != SHADOW:
            self.spent += attempt.cost_nano_usd
        if self.spans is not None:
            self.spans.attempt_ended(attempt)
        return attempt

    def cost(self, run: Run, failure: Failure | None) -> int:
        """What an attempt costs that has ended, in nano-USD, by the prices that its request began with."""
        return self._cost(run, self._charge(run, failure))

    def ends(self, failure: Failure | None, at: float) -> ledger.RequestRecord:
        """The request has ended."""
        request = self.request = self.so_far
        request.ended_at.CopyFrom(stamp(at))
        request.outcome = outcome_of(failure, begun=self.first_content_at is not None or self.spent > 0)
        request.cost_nano_usd = self.spent
        if failure is not None:
            request.error_reason = failure.reason_name
        request.finish_reasons.extend(self.finish_reasons)
        if self.usage is not None:
            request.usage.CopyFrom(self.usage)
        if self.served is not None:
            request.provider = self.served.provider
            request.worker = self.served.worker
            request.provider_model = self.served.provider_model
        if self.provider_model:
            request.provider_model = self.provider_model
        if self.refused_by is not None:
            request.refused_by.CopyFrom(self.refused_by)
        if self.first_content_at is not None:
            request.first_content_at.CopyFrom(stamp(self.first_content_at))
        if self.spans is not None:
            self.spans.ended(request, attempts=self.tried)
        return request

    def whole(self) -> ledger.LedgerRecord:
        """Its record, without attempts that still run: a shadow is written down when it ends."""
        ended = [attempt for attempt in self.record.attempts if attempt.HasField("ended_at")]
        if len(ended) == len(self.record.attempts):
            return self.record
        return ledger.LedgerRecord(request=self.record.request, attempts=ended)

    def _charge(self, run: Run, failure: Failure | None) -> Charge:
        return charged(
            run.usage,
            failure,
            input_tokens=self.so_far.estimated_input_tokens,
            started=run.started,
            begun=run.first_content_at is not None,
            finished=run.finished,
        )

    def _cost(self, run: Run, charge: Charge) -> int:
        if not charge.timed:
            return 0
        return self.book.cost(run.record.provider, run.record.provider_model, charge.usage, run.seconds)
