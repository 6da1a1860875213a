"""A gateway that is killed, at whatever moment, leaves a record of each request that it had accepted."""

import os
import pathlib
import subprocess
import sys

import pytest
from hybridinference.gateway.v1 import ledger_pb2 as ledger

from services.gateway.spool.segments import DEAD_DIRECTORY
from tests.gateway.loader.records import spooled

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[3]
ROUNDS = 120


def test_every_accepted_request_has_one_end_and_what_a_strict_caller_saw_is_its_true_one(
    tmp_path: pathlib.Path,
) -> None:
    lives = subprocess.run(
        [sys.executable, "-m", "tests.gateway.spool.gateway_life", str(tmp_path), "1", str(ROUNDS)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    said = [line.split() for line in lives.stdout.splitlines()]
    accepted = {words[1] for words in said if words[0] == "accepted"}
    ended = {words[1]: ledger.Outcome.Value(words[2]) for words in said if words[0] == "ended"}
    assert len(accepted) > ROUNDS
    assert len(ended) > ROUNDS // 4
    # As in the ledger: of several records of a request the first one counts.
    first: dict[str, ledger.LedgerRecord] = {}
    for record in spooled(tmp_path):
        if record.HasField("request"):
            first.setdefault(record.request.generation_id, record)
    assert accepted <= first.keys()
    assert {key: first[key].request.outcome for key in ended} == ended
    abandoned = [record for record in first.values() if record.request.outcome == ledger.OUTCOME_ABANDONED]
    assert len(abandoned) > ROUNDS // 4
    for record in first.values():
        assert record.request.HasField("ended_at")
        assert all(attempt.HasField("ended_at") for attempt in record.attempts)
        assert len({attempt.attempt_id for attempt in record.attempts}) == len(record.attempts)
    # The last life left nothing open, and nothing was put aside.
    assert list(tmp_path.glob("*.slots")) == []
    assert not (tmp_path / DEAD_DIRECTORY).exists()
