"""vLLM does what it claims: `hybrid verify` with the real engine, once for text and once for vectors."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from services.cli.setup.environment import engine_environment
from services.cli.setup.models import minilm_directory, smollm2_directory
from services.cli.verify.features import FEATURES
from tests.contract.subjects import ENGINE

# Two engines are started.
pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(240)]

CLONE = pathlib.Path(__file__).parents[2]
OPTIONS = ("--max-tokens", "48", "--json")
CONFIG = f"""
providers:
  local:
    kind: vllm
    model: {smollm2_directory()}
    served_model: m
    tool_parser: hermes
    chat_template: {CLONE / "tests/workers/vllm/tools.jinja"}
    engine_args: {{max_num_seqs: 4, override_generation_config: {{temperature: 0}}}}
  vectors: {{kind: vllm, model: {minilm_directory()}, served_model: e}}
models:
  - {{name: m, routes: [{{provider: local}}]}}
  - {{name: e, routes: [{{provider: vectors}}]}}
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the command says of each feature: of text by the one model, of vectors by the other, both at once."""
    assert engine_environment().ready, "no engine environment: run python3.11 -m services.cli.setup engine"
    file = tmp_path_factory.mktemp("verify") / "mesh.yaml"
    file.write_text(CONFIG, encoding="utf-8")
    with verifying(file, "local") as text, verifying(file, "vectors") as vectors:
        of_text, of_vectors = said(text), said(vectors)
    return {one.name: (of_vectors if one.embeds else of_text)[one.name] for one in FEATURES}


@contextlib.contextmanager
def verifying(file: pathlib.Path, provider: str) -> "Iterator[subprocess.Popen[str]]":
    with subprocess.Popen(
        [sys.executable, "-m", "services.cli", "verify", "--config", str(file), "--provider", provider, *OPTIONS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{CLONE}:{CLONE / 'gen'}"},
    ) as process:
        try:
            yield process
        finally:
            process.terminate()  # does nothing to what has ended


def said(process: "subprocess.Popen[str]") -> dict[str, dict[str, Any]]:
    rows, complained = process.communicate(timeout=200)
    assert rows, complained
    return {one["feature"]: one for one in json.loads(rows)}


@pytest.mark.parametrize(
    "feature", [pytest.param(one, id=f"vllm-{one.name}") for one in FEATURES if one.name not in ENGINE.reasons]
)
def test_what_is_claimed_holds_and_the_rest_is_refused_by_name(found: dict[str, dict[str, Any]], feature: Any) -> None:
    one = found[feature.name]
    wanted = "passed" if feature.offered(ENGINE.claims(embeds=feature.embeds)) else "refused"
    assert one["outcome"] == wanted, one["why"]
