"""What holds of the decision core whatever happens, in whichever order. `python -m tests.router.lives` runs more."""

import hashlib
import os
import subprocess
import sys

import pytest

from tests.router.lives.__main__ import lived

_PARTS, _SEEDS = 8, 15


@pytest.mark.parametrize("part", range(_PARTS))
def test_leases_attempts_ejections_and_budgets_keep_their_bounds(part: int) -> None:
    for seed in range(part * _SEEDS, (part + 1) * _SEEDS):
        lived(seed)


def test_decisions_do_not_depend_on_how_python_hashes() -> None:
    total = hashlib.sha256()
    for seed in range(5):
        total.update(lived(seed).trace.digest())
    other = subprocess.run(
        [sys.executable, "-m", "tests.router.lives", "--seeds", "5"],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert total.hexdigest()[:16] in other.stdout
