"""A client in each language: whole, streamed, with a deadline, cancelled, and told why."""

import pathlib
import sys
from collections.abc import Mapping

import pytest

from tests.clients.examples.conftest import Ledger, Run
from tests.mesh.driver import ROOT, Mesh

pytestmark = [pytest.mark.clients, pytest.mark.slow]

EXAMPLES = pathlib.Path("examples")
# How each is run, and what it calls the codes NOT_FOUND and UNAVAILABLE.
PYTHON = ([sys.executable, EXAMPLES / "python/typed.py"], "NOT_FOUND", "UNAVAILABLE")
NODE = (["node", EXAMPLES / "node/typed.js"], "NOT_FOUND", "UNAVAILABLE")
CPP = ([EXAMPLES / "cpp/build/typed"], "code 5", "code 14")
RUBY = (["ruby", EXAMPLES / "ruby/typed.rb"], "NotFound", "Unavailable")
BUILD: Mapping[str, list[str]] = {
    # Without optimizing, which takes half of the time.
    "cpp": ["make", "-C", "examples/cpp", "-j2", "CXXFLAGS=-O0 -Wall -Werror"],
    "ruby": ["examples/ruby/generate"],
}
ENVIRONMENT = {"python": {"PYTHONPATH": str(ROOT / "gen")}}


@pytest.mark.timeout(300)  # a compiler on a loaded machine
@pytest.mark.parametrize("language", ["python", "node", "cpp", "ruby"])
def test_a_client_in(language: str, run: Run, demo: Mesh, ledger: Ledger) -> None:
    command, not_found, unavailable = {"python": PYTHON, "node": NODE, "cpp": CPP, "ruby": RUBY}[language]
    if language in BUILD:
        run(*BUILD[language], seconds=240)
    said = run(*command, f"127.0.0.1:{demo.port}", environment=ENVIRONMENT.get(language))
    assert said.lines("whole") == ["What is the capital of France?"]
    assert said.lines("tokens") == ["6 in, 6 out"]
    assert said.lines("stream") == ["Say these words one after the other: red orange yellow green blue indigo violet"]
    assert said.pieces("red", "violet") >= 3  # of seven, should the reader be late
    assert said.lines("deadline") == ["DEADLINE_EXCEEDED"]
    assert said.lines("cancelled") == ["CANCELLED"]
    assert said.lines("failure") == [
        f"{not_found}, MODEL_NOT_FOUND, model=no-such-model",
        f"{unavailable}, ACCOUNTING_UNAVAILABLE, retry after 1500 ms",
    ]
    assert [(outcome, streamed) for _, outcome, streamed in ledger.outcomes(6)] == [
        ("success", False),
        ("success", True),
        ("deadline", False),
        ("cancelled", True),
        ("error", False),
        ("error", False),
    ]
