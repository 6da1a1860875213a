"""How the kernel lets the threads of a host take turns."""

import contextlib
import os


def be_patient(patient: bool) -> None:
    """From now on this thread, and what it begins, does not interrupt what runs when it is woken up; or it does.

    What wakes up one that is patient goes on until it waits or its turn ends, and so may have more for it by then;
    where a core is idle it begins at once all the same. So a gateway that writes 64 tokens is not stopped after each of
    them by what takes it up: docs/decisions/0025-patient-processes.md. Shares of a core stay as they are, and no right
    is needed (sched(7), SCHED_BATCH and SCHED_OTHER). Where the call is forbidden, or somebody has chosen another
    policy than these two, everything stays as it is.
    """
    with contextlib.suppress(OSError):
        if os.sched_getscheduler(0) in (os.SCHED_OTHER, os.SCHED_BATCH):
            os.sched_setscheduler(0, os.SCHED_BATCH if patient else os.SCHED_OTHER, os.sched_param(0))


def worth_it(busy_cores: int) -> bool:
    """Whether to be patient beside so much that computes all the time: where it leaves no core, turns are long."""
    return busy_cores < len(os.sched_getaffinity(0))
