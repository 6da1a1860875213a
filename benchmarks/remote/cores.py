"""Where processes run, and who goes first: the same for all systems."""

import concurrent.futures
import contextlib
import dataclasses
import os
from collections.abc import Iterator, Set

# An overloaded system takes all that it can get. Upstream and client keep their pace meanwhile.
_BEHIND = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Cores, and the niceness of what runs there."""

    cores: Set[int]
    nice: int


@dataclasses.dataclass(frozen=True, slots=True)
class Places:
    """Upstream and client have one core, which they share; the system may use all, but comes after them."""

    tools: Place
    system: Place

    def __str__(self) -> str:
        return (
            f"upstream and client on {len(self.tools.cores)} core, the system on {len(self.system.cores)}, "
            f"behind them by {self.system.nice - self.tools.nice} of nice"
        )


def places(available: Set[int], *, nice: int) -> Places:
    """Where everything runs on these cores."""
    return Places(Place({min(available)}, nice), Place(set(available), nice + _BEHIND))


def settle(place: Place) -> None:
    """Settle the calling thread there, and all processes that it starts from now on.

    Raises:
        PermissionError: a lower niceness than now is for the superuser.
    """
    os.sched_setaffinity(0, place.cores)
    os.setpriority(os.PRIO_PROCESS, 0, place.nice)


@contextlib.contextmanager
def starter(place: Place) -> Iterator[concurrent.futures.Executor]:
    """Processes that are started by way of it run there: cores and niceness are a thread's own and are inherited."""
    with concurrent.futures.ThreadPoolExecutor(1, initializer=settle, initargs=(place,)) as thread:
        yield thread
