"""CPU time and context switches of processes, from the kernel's accounting."""

import collections
import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence, Set

import psutil

# The last number of clock_getcpuclockid(3): the clock of a whole thread group, ended threads included.
_CPUCLOCK_SCHED = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """What some processes with their children have used so far, or between two samples.

    Attributes:
        ns: CPU time, user and system, in nanoseconds.
        system_seconds: the system's part of it, in the kernel's ticks of 10 ms.
        switches: context switches of all threads.
        threads: CPU time by thread name.
    """

    ns: int = 0
    system_seconds: float = 0.0
    switches: int = 0
    threads: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __sub__(self, before: "Usage") -> "Usage":
        threads = {name: ns - before.threads.get(name, 0) for name, ns in self.threads.items()}
        return Usage(
            self.ns - before.ns,
            self.system_seconds - before.system_seconds,
            self.switches - before.switches,
            {name: ns for name, ns in threads.items() if ns},
        )

    def __add__(self, other: "Usage") -> "Usage":
        threads = collections.Counter(self.threads) + collections.Counter(other.threads)
        return Usage(
            self.ns + other.ns, self.system_seconds + other.system_seconds, self.switches + other.switches, threads
        )


def sample(processes: Mapping[str, Sequence[int]]) -> dict[str, Usage]:
    """The use of each named group of processes so far. A child counts with its nearest ancestor that has a name."""
    named = {pid for pids in processes.values() for pid in pids}
    return {
        name: sum((_of_process(one) for pid in pids for one in _tree(psutil.Process(pid), named)), Usage())
        for name, pids in processes.items()
    }


def _tree(root: psutil.Process, named: Set[int]) -> Iterator[psutil.Process]:
    yield root
    children: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended, as what PostgreSQL begins now and then does
        children = root.children()
    for child in children:
        if child.pid not in named:
            yield from _tree(child, named)


def _of_process(process: psutil.Process) -> Usage:
    pid = process.pid
    # A process that ends at this moment has used next to nothing since it began: nothing here is started in a window.
    with contextlib.suppress(OSError, psutil.Error):
        threads: collections.Counter[str] = collections.Counter()
        switches = 0
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):  # the thread has just ended
                name, counted, ns = _of_thread(task, main=task.name == str(pid))
                threads[name] += ns
                switches += counted
        return Usage(
            time.clock_gettime_ns(~pid << 3 | _CPUCLOCK_SCHED), process.cpu_times().system, switches, dict(threads)
        )
    return Usage()


def _of_thread(task: pathlib.Path, *, main: bool) -> tuple[str, int, int]:
    """Name, context switches, nanoseconds on a CPU."""
    name = "main" if main else (task / "comm").read_text().strip()
    lines = (task / "status").read_text().splitlines()
    switches = sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
    return name, switches, int((task / "schedstat").read_text().split()[0])
