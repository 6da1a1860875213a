"""What the engine raises, as failures."""

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.workers.vllm import failures
from tests.workers.vllm.fakes import ERRORS, DeadError, FailedError, FullError, InvalidError


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DeadError(), reasons.ERROR_REASON_WORKER_LOST),
        (FailedError("stack"), reasons.ERROR_REASON_ENGINE_FAILED),
        (FullError(), reasons.ERROR_REASON_WORKER_SATURATED),
        (InvalidError("no"), reasons.ERROR_REASON_SPEC_INVALID),
        (InvalidError("long", parameter="input_tokens"), reasons.ERROR_REASON_CONTEXT_TOO_LONG),
    ],
)
def test_each_error_has_its_reason(error: Exception, reason: int) -> None:
    assert failures.from_engine(error, ERRORS, model="m", field="").reason == reason


def test_a_full_engine_says_when_to_come_back() -> None:
    assert failures.from_engine(FullError(), ERRORS, model="m", field="").retry_after == 1.0


def test_an_engines_own_words_do_not_get_out_when_it_fails() -> None:
    assert "secret" not in failures.from_engine(FailedError("secret"), ERRORS, model="m", field="").message


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (InvalidError("must be positive", parameter="temperature"), "sampling.temperature"),
        (InvalidError("stop cannot contain an empty string."), "sampling.stop"),
        (InvalidError("n must be at least 1"), "choices"),
        (InvalidError("Grammar error: Invalid type"), "response_format"),
        (InvalidError("too long", parameter="input_text"), "messages"),
    ],
)
def test_the_field_at_fault_is_named_in_the_contracts_words(error: Exception, field: str) -> None:
    failure = failures.from_engine(error, ERRORS, model="m", field="response_format")
    assert failure.metadata["field"] == field
    assert failure.message == error.args[0]
