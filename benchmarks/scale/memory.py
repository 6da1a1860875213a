"""Memory of processes, as the kernel shares it out among them."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import psutil


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """What some processes hold.

    Attributes:
        pss: proportional set size, in KiB: pages that several processes map count in equal parts with each.
        rss: resident set size, in KiB.
        descriptors: open files and sockets.
        threads: of all of them.
    """

    pss: int = 0
    rss: int = 0
    descriptors: int = 0
    threads: int = 0

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(
            self.pss + other.pss,
            self.rss + other.rss,
            self.descriptors + other.descriptors,
            self.threads + other.threads,
        )


def parse(rollup: str) -> tuple[int, int]:
    """PSS and RSS in KiB of what `/proc/PID/smaps_rollup` says."""
    fields = dict(line.split(":", 1) for line in rollup.splitlines()[1:])
    pss, rss = (int(fields[name].split()[0]) for name in ("Pss", "Rss"))
    return pss, rss


def of(pids: Sequence[int]) -> Memory:
    """What these processes hold, without their children."""
    total = Memory()
    for pid in pids:
        pss, rss = parse(pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"))
        process = psutil.Process(pid)
        total += Memory(pss, rss, process.num_fds(), process.num_threads())
    return total


def sample(processes: Mapping[str, Sequence[int]]) -> dict[str, Memory]:
    """What each named group of processes holds now."""
    return {name: of(pids) for name, pids in processes.items()}
