"""How the kernel lets the threads of a host take turns."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.chassis import loop, scheduling

_ASK = [sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"]


def _policies_of_what_begins(patient: bool) -> tuple[int, int]:
    """Those of a thread and of a process that a thread begins."""

    def begin() -> tuple[int, int]:
        scheduling.be_patient(patient)
        found = []
        thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
        thread.start()
        thread.join()
        return found[0], int(subprocess.run(_ASK, check=True, capture_output=True).stdout)

    with ThreadPoolExecutor(1) as apart:
        return apart.submit(begin).result()


def test_what_one_that_is_patient_begins_is_patient_too() -> None:
    assert _policies_of_what_begins(True) == (os.SCHED_BATCH, os.SCHED_BATCH)


def test_one_that_is_not_makes_nothing_else_so_whatever_it_was_begun_by() -> None:
    with ThreadPoolExecutor(1) as apart:
        apart.submit(scheduling.be_patient, True).result()
        assert apart.submit(_policies_of_what_begins, False).result() == (os.SCHED_OTHER, os.SCHED_OTHER)


def test_where_it_is_forbidden_everything_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    scheduling.be_patient(True)


@pytest.mark.parametrize(("busy", "worth"), [(0, True), (3, True), (4, False), (5, False)])
def test_it_is_worth_it_where_a_core_is_left(busy: int, worth: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert scheduling.worth_it(busy) is worth


@pytest.mark.parametrize(("patient", "policy"), [(True, os.SCHED_BATCH), (False, os.SCHED_OTHER)])
def test_a_process_runs_as_it_says(patient: bool, policy: int) -> None:
    async def main() -> int:
        return os.sched_getscheduler(0)

    with ThreadPoolExecutor(1) as apart:
        assert apart.submit(loop.run, main(), patient=patient).result() == policy
