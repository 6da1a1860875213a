"""The page of providers is what the suite says, and the suite has no hole that it does not explain."""

import pathlib
import re

from services.cli.verify.features import FEATURES
from tests.contract import matrix
from tests.contract.faults import FAULTS
from tests.contract.subjects import COLUMNS

TESTS = pathlib.Path(__file__).parents[1]
ROWS = {row.name for row in (*FEATURES, *FAULTS)}


def test_the_page_is_what_the_suite_says() -> None:
    assert matrix.FILE.read_text(encoding="utf-8") == matrix.page(), "run `make providers`"


def test_no_two_rows_have_the_same_name() -> None:
    assert len(ROWS) == len(FEATURES) + len(FAULTS)


def test_every_excuse_is_of_a_row_that_there_is() -> None:
    for subject in COLUMNS:
        assert set(subject.reasons) <= ROWS, subject.kind


def test_every_test_that_an_excuse_names_exists() -> None:
    facts = set(re.findall(r"^(?:async )?def (test_\w+)", _code(), re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)", matrix.page()))
    assert named
    assert named <= facts, named - facts


def _code() -> str:
    return "".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
