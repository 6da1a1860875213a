"""Children die with their worker: on real processes."""

import contextlib
import os
import pathlib
import select
import signal
import subprocess
import sys

import pytest

# Each program prints its child's process id; the child holds the pipe `held` open for as long as it lives.
_FORKS = """
import os, sys, time
from services.workers.vllm import lifeline
lifeline.arm_forks(secluded=True)
lifeline.arm_forks(secluded=True)
child = os.fork()
if child == 0:
    os.write(int(sys.argv[1]), b"x")
    time.sleep(60)
os.close(int(sys.argv[1]))
time.sleep(60)
"""

_SPAWNS = """
import multiprocessing, os, sys, time
from multiprocessing import reduction
from services.workers.vllm import lifeline

def child(held):
    lifeline.arm()
    os.write(held.detach(), b"x")
    time.sleep(60)

if __name__ == "__main__":
    lifeline.arm()
    held = int(sys.argv[1])
    process = multiprocessing.get_context("spawn").Process(target=child, args=(reduction.DupFd(held),))
    process.start()
    os.close(held)
    time.sleep(60)
"""

_UNARMED = _FORKS.replace("lifeline.arm_forks(secluded=True)\n", "")


def child_outlives(program: str, tmp_path: pathlib.Path, number: int, *, seconds: float = 30) -> bool:
    """Kill the program once its child runs; whether the child still lives so many seconds later."""
    path = tmp_path / "program.py"
    path.write_text(program, encoding="utf-8")
    reading, writing = os.pipe()
    try:
        with subprocess.Popen(
            [sys.executable, path, str(writing)],
            pass_fds=[writing],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
            start_new_session=True,
        ) as process:
            os.close(writing)
            try:
                assert select.select([reading], [], [], 30)[0], "the child never began"
                assert os.read(reading, 1) == b"x"
                process.send_signal(number)
                process.wait(30)
                # The pipe ends with the last process that holds it.
                return not select.select([reading], [], [], seconds)[0]
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    finally:
        os.close(reading)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_forked_child_dies_with_its_worker(tmp_path: pathlib.Path, number: int) -> None:
    assert not child_outlives(_FORKS, tmp_path, number)


def test_a_spawned_child_dies_with_its_worker(tmp_path: pathlib.Path) -> None:
    assert not child_outlives(_SPAWNS, tmp_path, signal.SIGKILL)


def test_without_a_lifeline_a_child_lives_on(tmp_path: pathlib.Path) -> None:
    assert child_outlives(_UNARMED, tmp_path, signal.SIGKILL, seconds=2)
