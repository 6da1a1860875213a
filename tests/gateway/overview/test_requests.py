"""A request that has ended, as it is told to those who see all and to those who see their own."""

import pytest
from google.protobuf import timestamp_pb2
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.gateway.v1 import overview_pb2 as overview
from hybridinference.inference.v1 import routing_pb2 as routing

from services.gateway.overview.recent import Recent
from services.gateway.overview.requests import between, told
from services.gateway.overview.sight import Sight
from services.gateway.stamp import stamp

ALL = Sight(overview.OVERVIEW_EXTENT_ALL, workers=True, models=True)
OWN = Sight(overview.OVERVIEW_EXTENT_OWN, models=True, providers=("local",))
NAMES = {"m": "m", "also": "m"}
DECISION = routing.Decision(
    strategy="adaptive",
    targets=3,
    eligible=2,
    candidates=[
        routing.CandidateScore(worker="local-0", provider="local", score=1.5, terms={"queue_seconds": 0.5}),
        routing.CandidateScore(worker="vendor-0", provider="vendor", score=2.0),
    ],
    ruled_out={"breaker": 1},
)


def record(number: int = 0, **fields: object) -> ledger.LedgerRecord:
    """A request that was tried at a vendor, and served by an engine of one's own; with a shadow."""
    request = ledger.RequestRecord(
        generation_id=f"id-{number}",
        model="also",
        key_id="k",
        owner="o",
        user="somebody",
        session="talk",
        prefix_hashes=[1, 2],
        received_at=stamp(100.0),
        first_content_at=stamp(100.75),
        ended_at=stamp(102.0),
        outcome=ledger.OUTCOME_SUCCESS,
        provider="local",
        worker="local-0",
        cost_nano_usd=7,
        usage={"input_tokens": 10, "cached_tokens": 4, "output_tokens": 20},
    )
    request.MergeFrom(ledger.RequestRecord(**fields))  # type: ignore[arg-type]
    attempts = [
        ledger.AttemptRecord(
            number=1,
            provider="local",
            worker="local-1",
            placed_at=stamp(100.125),
            ended_at=stamp(100.25),
            outcome=ledger.OUTCOME_ERROR,
            error_reason="WORKER_LOST",
        ),
        ledger.AttemptRecord(
            number=2,
            kind="retry",
            provider="local",
            worker="local-0",
            placed_at=stamp(100.25),
            first_content_at=stamp(100.75),
            ended_at=stamp(102.0),
            outcome=ledger.OUTCOME_SUCCESS,
            decision=DECISION,
        ),
        ledger.AttemptRecord(number=3, kind="shadow", provider="vendor", worker="vendor-0", ended_at=stamp(103.0)),
    ]
    return ledger.LedgerRecord(request=request, attempts=attempts)


def test_who_sees_all_is_told_whose_it_was_and_every_attempt_with_its_reasons() -> None:
    made = told(record(), NAMES, ALL)
    assert (made.key_id, made.owner, made.worker, made.model) == ("k", "o", "local-0", "m")
    assert [(each.number, each.kind, each.worker) for each in made.attempts] == [
        (1, "", "local-1"), (2, "retry", "local-0"), (3, "shadow", "vendor-0")
    ]  # fmt: skip
    assert made.attempts[1].decision == DECISION
    assert made.attempts[0].error_reason == "WORKER_LOST"


def test_a_key_is_told_of_no_worker_no_shadow_and_no_provider_that_it_may_not_use() -> None:
    made = told(record(refused_by=DECISION), NAMES, OWN)
    assert [each.number for each in made.attempts] == [1, 2]
    assert [each.provider for each in made.attempts[1].decision.candidates] == ["local"]
    assert made.attempts[1].decision.candidates[0].terms == {"queue_seconds": 0.5}
    text = str(made)
    for hidden in ("local-0", "local-1", "vendor", 'owner: "o"', 'key_id: "k"'):
        assert hidden not in text, hidden


@pytest.mark.parametrize("sight", [ALL, OWN])
def test_nobody_is_told_a_callers_words_or_hashes_of_them(sight: Sight) -> None:
    made = str(told(record(model="a secret that is no model"), NAMES, sight))
    for hidden in ("somebody", "talk", "prefix", "secret"):
        assert hidden not in made
    assert 'model: "other"' in made


def test_times_are_told_from_arrival_and_from_placement() -> None:
    made = told(record(), NAMES, ALL)
    assert (made.first_content.ToMilliseconds(), made.duration.ToMilliseconds()) == (750, 2000)
    first, retry, _ = made.attempts
    assert (first.placed_after.ToMilliseconds(), first.duration.ToMilliseconds()) == (125, 125)
    assert not first.HasField("first_content")
    assert (retry.placed_after.ToMilliseconds(), retry.first_content.ToMilliseconds()) == (250, 500)


def test_a_clock_that_was_set_back_gives_no_time_below_zero() -> None:
    early, late = timestamp_pb2.Timestamp(seconds=1, nanos=900), timestamp_pb2.Timestamp(seconds=2, nanos=100)
    assert between(early, late).ToNanoseconds() == 999_999_200
    assert between(late, early).ToNanoseconds() == 0


def test_the_latest_are_kept_first_and_sums_are_of_all() -> None:
    recent = Recent(most=2)
    for number, outcome in enumerate((ledger.OUTCOME_SUCCESS, ledger.OUTCOME_CANCELLED, ledger.OUTCOME_ERROR)):
        recent.begins()
        recent.ended(record(number, outcome=outcome, key_id="other" if number == 1 else "k"))
    recent.begins()
    assert [each.request.generation_id for each in recent.latest()] == ["id-2", "id-1"]
    assert [each.request.generation_id for each in recent.latest(key_id="k")] == ["id-2"]
    assert (recent.running, recent.count, recent.failed) == (1, 3, 1), "who goes away has not failed"
    assert (recent.input_tokens, recent.output_tokens, recent.cost_nano_usd) == (30, 60, 21)
