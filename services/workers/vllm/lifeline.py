"""What keeps an EngineCore from outliving its worker.

A worker that is killed, even by SIGKILL, must not leave an engine behind that holds the GPU's memory. The kernel sees
to it: each child asks for SIGKILL when the thread that made it ends. Linux only.
"""

import ctypes
import functools
import multiprocessing
import os
import signal

import structlog

from services.workers.vllm import seclusion

LOG = structlog.get_logger()

_PR_SET_PDEATHSIG = 1


def arm() -> None:
    """Tie a spawned child to its worker: the entry point `vllm.general_plugins`, which vLLM runs in every process.

    In the worker itself it does nothing, since a worker may outlive the shell that started it.
    """
    if multiprocessing.parent_process() is not None:
        _die_with_parent()


@functools.cache
def arm_forks(*, secluded: bool) -> None:
    """Tie every child that this process will fork; a forked child does not run `arm`. Once per process is enough.

    With `secluded`, children also get a network of their own where the kernel allows it.
    """
    os.register_at_fork(after_in_child=functools.partial(_begin_as_child, secluded))


def _begin_as_child(secluded: bool) -> None:
    if secluded:
        try:
            seclusion.seclude()  # first: it may take the wish for a signal back
        except OSError as error:
            LOG.warning("engine.not_secluded", error=str(error))
    _die_with_parent()
    # The pipe that wakes the worker's event loop on a signal is inherited too: a signal to the engine alone would make
    # the worker believe that it has been told to stop.
    signal.set_wakeup_fd(-1)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
