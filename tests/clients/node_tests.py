"""Files of tests for Node's own runner: which there are, and what came of each test in them."""

import dataclasses
import pathlib
import xml.etree.ElementTree
from collections.abc import Callable

import pytest

HERE = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a test: why it failed, if it did."""

    name: str
    why: str


def files(folder: str) -> list[str]:
    """The files of a folder beside this module, as Node finds them."""
    return sorted(str(path.relative_to(HERE)) for path in (HERE / folder).glob("*.test.mjs"))


def outcomes(node: Callable[..., str], file: str) -> list[Outcome]:
    """Run a file; what came of each of its tests."""
    report = node("--test", "--test-reporter=junit", file, check=False)
    return [_outcome(case) for case in xml.etree.ElementTree.fromstring(report).iter("testcase")]


def run(node: Callable[..., str], file: str, subtests: pytest.Subtests) -> None:
    """Run a file; each of its tests is one of pytest's subtests."""
    found = outcomes(node, file)
    if any(outcome.name.endswith(file) for outcome in found):  # the file itself: it has no tests, or does not run
        raise AssertionError(f"no tests: {node(file)}")
    for outcome in found:
        with subtests.test(outcome.name):
            assert not outcome.why, outcome.why


def _outcome(case: xml.etree.ElementTree.Element) -> Outcome:
    wrong = [*case.iter("failure"), *case.iter("error"), *case.iter("skipped")]
    why = "\n".join(f"{one.tag}: {one.get('message', '')}\n{one.text or ''}" for one in wrong)
    return Outcome(case.get("name", ""), why)
