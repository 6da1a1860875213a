"""Rows: what a record becomes, and which can become none."""

import datetime
import json
import uuid
from typing import Any

import pytest
from hybridinference.gateway.v1 import ledger_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.loader.rows import ATTEMPT_COLUMNS, CONTENT_COLUMNS, PRICE_COLUMNS, REQUEST_COLUMNS, Rows, parse
from services.gateway.loader.values import RecordInvalid
from tests.gateway.loader.records import RECEIVED_AT, RUN, TODAY, content, prices, record, uuid7, uuid7_of

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def request_of(made: ledger_pb2.LedgerRecord) -> dict[str, Any]:
    row = parse(made.SerializeToString(), TODAY).request
    assert row
    return dict(zip(REQUEST_COLUMNS, row, strict=True))


def attempts_of(made: ledger_pb2.LedgerRecord) -> list[dict[str, Any]]:
    rows = parse(made.SerializeToString(), TODAY).attempts
    return [dict(zip(ATTEMPT_COLUMNS, row, strict=True)) for row in rows]


def test_a_request_becomes_a_row() -> None:
    made = record(attempts=2)
    row = request_of(made)
    assert str(row["generation_id"]) == made.request.generation_id
    assert row["received_at"] == datetime.datetime.fromtimestamp(RECEIVED_AT, datetime.UTC)
    assert row["first_content_at"] - row["received_at"] == datetime.timedelta(milliseconds=50)
    assert (row["outcome"], row["error_reason"], row["finish_reasons"]) == ("success", None, ["stop"])
    assert (row["input_tokens"], row["output_tokens"], row["cached_tokens"], row["reasoning_tokens"]) == (40, 8, 16, 2)
    assert (row["key_id"], row["owner"], row["session_label"]) == ("0123456789abcdef", "search", "conversation")
    assert (row["cost_nano_usd"], row["price_version"]) == (1001 + 1002, "fedcba9876543210")
    assert (str(row["gateway_run"]), row["placed_at"], row["criticality"]) == (
        RUN,
        row["received_at"],
        "sheddable_plus",
    )
    attempts = attempts_of(made)
    assert [(one["number"], one["outcome"], one["error_reason"], one["worker"]) for one in attempts] == [
        (1, "error", "WORKER_LOST", "local-0"),
        (2, "success", None, "local-1"),
    ]
    assert [(one["key_id"], one["owner"], one["model"]) for one in attempts] == [
        ("0123456789abcdef", "search", "smollm2")
    ] * 2
    assert [(one["cost_nano_usd"], one["price_version"]) for one in attempts] == [
        (1001, "fedcba9876543210"),
        (1002, "fedcba9876543210"),
    ]
    assert [one["follows"] for one in attempts] == [None, attempts[0]["attempt_id"]]


def test_what_is_absent_is_null() -> None:
    made = record()
    for field in (
        *("first_content_at", "provider", "worker", "provider_model", "user", "edge_request_id", "trace_id"),
        *("session", "gateway_run", "placed_at", "criticality"),
    ):
        made.request.ClearField(field)
    made.attempts[0].ClearField("ended_at")
    made.attempts[0].ClearField("decision")
    row = request_of(made)
    assert [name for name, value in row.items() if value is None] == [
        *("first_content_at", "error_reason", "provider", "worker", "provider_model"),
        *("user_label", "edge_request_id", "trace_id", "refused_by", "session_label", "gateway_run", "placed_at"),
    ]
    assert row["criticality"] == ""
    attempt = attempts_of(made)[0]
    assert (attempt["ended_at"], attempt["decision"], attempt["follows"]) == (None, None, None)


def test_values_of_a_newer_writer_are_kept_as_numbers() -> None:
    made = record()
    made.request.outcome = 99  # type: ignore[assignment]
    made.request.finish_reasons.append(77)  # type: ignore[arg-type]
    row = request_of(made)
    assert row["outcome"] == "unknown_99"
    assert row["finish_reasons"] == ["stop", "unknown_77"]


def test_what_a_provider_was_asked_in_vain_is_a_list_in_json() -> None:
    made = record()
    made.attempts[0].tries.add(key=2, reason=reasons.ERROR_REASON_PROVIDER_CREDENTIAL, http_status=401)
    made.attempts[0].tries[0].duration.FromMicroseconds(1_012_500)
    made.attempts[0].tries.add(reason=99)  # type: ignore[arg-type]
    row = attempts_of(made)[0]
    assert json.loads(row["tries"]) == [
        {"key": 2, "reason": "PROVIDER_CREDENTIAL", "http_status": 401, "ms": 1012.5},
        {"key": 0, "reason": "UNKNOWN_99", "http_status": 0, "ms": 0.0},
    ]


def test_a_decision_is_an_object_in_json_and_what_is_no_number_is_null() -> None:
    made = record(attempts=2)
    made.attempts[1].kind = "retry"
    made.attempts[1].decision.candidates[0].terms["lost"] = float("inf")
    made.attempts[1].decision.candidates[0].provider_model = "a\0"
    made.attempts[1].decision.candidates.add(worker="local-2", ruled_out_by="held")
    row = attempts_of(made)[1]
    assert row["kind"] == "retry"
    assert json.loads(row["decision"]) == {
        "strategy": "least_loaded", "targets": 4, "eligible": 2, "ruled_out": {"health": 2},
        "candidates": [
            {"worker": "local-1", "provider": "local", "provider_model": "a\ufffd", "role": "primary", "score": 0.5,
             "terms": {"generations": 3.0, "lost": None}, "ruled_out_by": ""},
            {"worker": "local-2", "provider": "", "provider_model": "", "role": "", "score": None, "terms": {},
             "ruled_out_by": "held"},
        ],
    }  # fmt: skip


def test_what_was_asked_is_told_in_numbers_and_hashes() -> None:
    made = record()
    made.request.estimated_input_tokens, made.request.max_output_tokens = 38, 256
    made.request.prefix_hashes.extend([0, 1, 2**63 - 1, 2**63, 2**64 - 1])
    made.request.refused_by.ruled_out["max_cost"] = 3
    row = request_of(made)
    assert (row["estimated_input_tokens"], row["max_output_tokens"]) == (38, 256)
    assert row["prefix_hashes"] == [0, 1, 2**63 - 1, -(2**63), -1]
    assert json.loads(row["refused_by"])["ruled_out"] == {"max_cost": 3}


def test_text_that_postgresql_cannot_hold_is_made_so() -> None:
    made = record(model="a\0b")
    made.request.user = "u" * 5000
    row = request_of(made)
    assert row["model"] == "a\ufffdb"
    assert row["user_label"] == "u" * 1024


@pytest.mark.parametrize("field", ["generation_id", "received_at", "ended_at"])
def test_a_record_without_id_or_times_is_invalid(field: str) -> None:
    made = record()
    made.request.ClearField(field)
    with pytest.raises(RecordInvalid, match=field):
        parse(made.SerializeToString(), TODAY)


def test_a_time_beyond_the_calendar_is_invalid() -> None:
    made = record()
    made.request.ended_at.seconds = 2**62
    with pytest.raises(RecordInvalid, match="ended_at is out of range"):
        parse(made.SerializeToString(), TODAY)


@pytest.mark.parametrize(
    "moment", [datetime.datetime(2019, 12, 31, tzinfo=datetime.UTC), NOW + datetime.timedelta(days=3)]
)
@pytest.mark.parametrize("of", ["request", "attempt", "content"])
def test_an_id_of_an_absurd_time_is_invalid(moment: datetime.datetime, of: str) -> None:
    made = record()
    if of == "request":
        made.request.generation_id = uuid7_of(moment)
    elif of == "attempt":
        made.attempts[0].attempt_id = uuid7_of(moment)
    else:
        made = content()
        made.content.generation_id = uuid7_of(moment)
    with pytest.raises(RecordInvalid, match="_id is of an absurd time"):
        parse(made.SerializeToString(), TODAY)


@pytest.mark.parametrize(
    "made_up",
    [str(uuid.uuid4()), "", "x" * 36, uuid7().replace("-", ""), f"{{{uuid7()}}}"],
    ids=["version 4", "empty", "no digits", "no hyphens", "braces"],
)
def test_an_id_that_is_no_uuidv7_is_invalid(made_up: str) -> None:
    made = record()
    made.attempts[0].attempt_id = made_up
    with pytest.raises(RecordInvalid, match="attempt_id is no UUIDv7"):
        parse(made.SerializeToString(), TODAY)


def test_the_days_of_its_ids_come_with_a_record() -> None:
    made = record()
    made.attempts[0].attempt_id = uuid7_of(datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + 20_000 * DAY)
    assert parse(made.SerializeToString(), TODAY).days == {TODAY, 20_000}


@pytest.mark.parametrize("cost", [-1, 10**15 + 1])
def test_a_cost_that_cannot_be_is_invalid(cost: int) -> None:
    made = record()
    made.attempts[0].cost_nano_usd = cost
    with pytest.raises(RecordInvalid, match="cost_nano_usd is out of range"):
        parse(made.SerializeToString(), TODAY)


def test_what_was_said_is_a_row_without_a_request() -> None:
    made = content(input="said\0", output="x" * 5000)
    rows = parse(made.SerializeToString(), TODAY)
    assert (rows.request, rows.attempts, rows.prices) == (None, (), ())
    assert rows.content
    row = dict(zip(CONTENT_COLUMNS, rows.content, strict=True))
    assert str(row["generation_id"]) == made.content.generation_id
    assert (row["policy"], row["input"], len(row["output"]), row["retention_days"]) == (
        "stored",
        "said\ufffd",
        5000,
        30,
    )


@pytest.mark.parametrize(("policy", "days"), [("none", 1), ("stored", 0), ("hashed", 3651)])
def test_what_may_not_be_kept_is_invalid(policy: str, days: int) -> None:
    made = content()
    made.content.policy, made.content.retention_days = policy, days
    with pytest.raises(RecordInvalid, match=r"policy|retention_days"):
        parse(made.SerializeToString(), TODAY)


def test_a_price_table_is_a_row_for_each_of_its_prices() -> None:
    made = prices("v1", 3)
    rows = parse(made.SerializeToString(), TODAY)
    assert (rows.request, rows.content) == (None, None)
    assert [dict(zip(PRICE_COLUMNS, row, strict=True))["provider_model"] for row in rows.prices] == ["m0", "m1", "m2"]
    assert rows.prices[2] == ("v1", "vendor", "m2", 0, 2, 1, 4, 0, "configuration")
    assert parse(prices("v1", 0).SerializeToString(), TODAY) == Rows()


@given(st.binary(max_size=200))
def test_any_bytes_are_rows_or_invalid(payload: bytes) -> None:
    try:
        rows = parse(payload, TODAY)
    except RecordInvalid:
        return
    assert rows.request is None or len(rows.request) == len(REQUEST_COLUMNS)
