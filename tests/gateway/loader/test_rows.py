"""Rows: what a record becomes, and which can become none."""

import datetime
import json

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.loader.rows import ATTEMPT_COLUMNS, REQUEST_COLUMNS, RecordInvalid, parse
from tests.gateway.loader.records import RECEIVED_AT, record


def test_a_request_becomes_a_row() -> None:
    made = record(attempts=2)
    rows = parse(made.SerializeToString())
    row = dict(zip(REQUEST_COLUMNS, rows.request, strict=True))
    assert str(row["generation_id"]) == made.request.generation_id
    assert row["received_at"] == datetime.datetime.fromtimestamp(RECEIVED_AT, datetime.UTC)
    assert row["first_content_at"] - row["received_at"] == datetime.timedelta(milliseconds=50)
    assert (row["outcome"], row["error_reason"], row["finish_reasons"]) == ("success", None, ["stop"])
    assert (row["input_tokens"], row["output_tokens"], row["cached_tokens"], row["reasoning_tokens"]) == (40, 8, 16, 2)
    attempts = [dict(zip(ATTEMPT_COLUMNS, attempt, strict=True)) for attempt in rows.attempts]
    assert [(one["number"], one["outcome"], one["error_reason"], one["worker"]) for one in attempts] == [
        (1, "error", "WORKER_LOST", "local-0"),
        (2, "success", None, "local-1"),
    ]


def test_what_is_absent_is_null() -> None:
    made = record()
    for field in ("first_content_at", "provider", "worker", "provider_model", "user", "edge_request_id", "trace_id"):
        made.request.ClearField(field)
    made.attempts[0].ClearField("ended_at")
    made.attempts[0].ClearField("decision")
    rows = parse(made.SerializeToString())
    row = dict(zip(REQUEST_COLUMNS, rows.request, strict=True))
    assert [name for name, value in row.items() if value is None] == [
        *("first_content_at", "error_reason", "provider", "worker", "provider_model"),
        *("user_label", "edge_request_id", "trace_id", "refused_by"),
    ]
    attempt = dict(zip(ATTEMPT_COLUMNS, rows.attempts[0], strict=True))
    assert (attempt["ended_at"], attempt["decision"]) == (None, None)


def test_values_of_a_newer_writer_are_kept_as_numbers() -> None:
    made = record()
    made.request.outcome = 99  # type: ignore[assignment]
    made.request.finish_reasons.append(77)  # type: ignore[arg-type]
    row = dict(zip(REQUEST_COLUMNS, parse(made.SerializeToString()).request, strict=True))
    assert row["outcome"] == "unknown_99"
    assert row["finish_reasons"] == ["stop", "unknown_77"]


def test_what_a_provider_was_asked_in_vain_is_a_list_in_json() -> None:
    made = record()
    made.attempts[0].tries.add(key=2, reason=reasons.ERROR_REASON_PROVIDER_CREDENTIAL, http_status=401)
    made.attempts[0].tries[0].duration.FromMicroseconds(1_012_500)
    made.attempts[0].tries.add(reason=99)  # type: ignore[arg-type]
    row = dict(zip(ATTEMPT_COLUMNS, parse(made.SerializeToString()).attempts[0], strict=True))
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
    row = dict(zip(ATTEMPT_COLUMNS, parse(made.SerializeToString()).attempts[1], strict=True))
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
    row = dict(zip(REQUEST_COLUMNS, parse(made.SerializeToString()).request, strict=True))
    assert (row["estimated_input_tokens"], row["max_output_tokens"]) == (38, 256)
    assert row["prefix_hashes"] == [0, 1, 2**63 - 1, -(2**63), -1]
    assert json.loads(row["refused_by"])["ruled_out"] == {"max_cost": 3}


def test_text_that_postgresql_cannot_hold_is_made_so() -> None:
    made = record(model="a\0b")
    made.request.user = "u" * 5000
    row = dict(zip(REQUEST_COLUMNS, parse(made.SerializeToString()).request, strict=True))
    assert row["model"] == "a\ufffdb"
    assert row["user_label"] == "u" * 1024


@pytest.mark.parametrize("field", ["generation_id", "received_at", "ended_at"])
def test_a_record_without_id_or_times_is_invalid(field: str) -> None:
    made = record()
    made.request.ClearField(field)
    with pytest.raises(RecordInvalid, match=field):
        parse(made.SerializeToString())


def test_a_time_beyond_the_calendar_is_invalid() -> None:
    made = record()
    made.request.ended_at.seconds = 2**62
    with pytest.raises(RecordInvalid, match="ended_at is out of range"):
        parse(made.SerializeToString())


@given(st.binary(max_size=200))
def test_any_bytes_are_rows_or_invalid(payload: bytes) -> None:
    try:
        rows = parse(payload)
    except RecordInvalid:
        return
    assert len(rows.request) == len(REQUEST_COLUMNS)
