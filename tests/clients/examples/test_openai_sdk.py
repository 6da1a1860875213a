"""OpenAI's SDK for Python, as the example uses it."""

import sys

import pytest

from tests.clients.examples.conftest import Ledger, Run
from tests.mesh.driver import Mesh

pytestmark = [pytest.mark.clients, pytest.mark.slow]


def test_openais_sdk_asks(run: Run, demo: Mesh, ledger: Ledger) -> None:
    said = run(sys.executable, "examples/python/openai_sdk.py", f"http://127.0.0.1:{demo.port}/v1")
    assert said.lines("whole") == ["What is the capital of France?"]
    assert said.lines("stream") == ["Say these words one after the other: red orange yellow green blue indigo violet"]
    assert said.pieces("red", "violet") >= 3
    assert said.lines("deadline") == ["APITimeoutError"]
    assert "cancelled" in said.text.splitlines()
    assert said.lines("failure") == ["404 model_not_found", "503 service_unavailable, retry after 2 s"]
    assert said.lines("vectors") == ["2 of 8"]
    assert [(outcome, streamed) for _, outcome, streamed in ledger.outcomes(7)] == [
        ("success", False),
        ("success", True),
        ("cancelled", False),
        ("cancelled", True),
        ("error", False),
        ("error", False),
        ("success", False),
    ]
