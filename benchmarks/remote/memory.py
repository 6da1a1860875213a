"""Memory of a system: of all its processes, at rest and with streams."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence

import psutil

from benchmarks.measure import Load, client
from benchmarks.remote.windows import Field
from benchmarks.system import System

_SETTLE_SECONDS = 2.0
_OPEN_SECONDS = 60.0
_LOOK_SECONDS = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of some processes with their children.

    Attributes:
        rss: pages that they have in memory, shared ones as often as they are mapped.
        pss: the same, where a page that n processes share counts as an nth in each.
    """

    rss: int
    pss: int


def of(processes: Mapping[str, Sequence[int]]) -> Memory:
    """What the processes take now, each once."""
    tree = {one.pid: one for pids in processes.values() for pid in pids for one in _with_children(pid)}
    rss = pss = 0
    for one in tree.values():
        with contextlib.suppress(psutil.Error):  # it has just ended
            told = one.memory_full_info()
            rss, pss = rss + told.rss, pss + told.pss
    return Memory(rss, pss)


def _with_children(pid: int) -> Iterator[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        yield process
        yield from process.children(recursive=True)


def per_stream(field: Field, system: System, load: Load) -> tuple[Memory, float]:
    """What a system that has just begun takes at rest, and how many bytes (PSS) each of these streams adds.

    Raises:
        RuntimeError: the streams did not begin.
    """
    # What the first requests bring into memory is no stream's.
    field.window(system, Load("requests", 4), seconds=_SETTLE_SECONDS)
    rest = of(system.processes)
    with client(system, load) as loading:
        _wait_until_open(field, load.connections)
        time.sleep(_SETTLE_SECONDS)
        failures = loading.ask("report")["failures"]
        if failures or field.open_streams() < load.connections:
            raise RuntimeError(f"{system.name}: {failures or 'streams have ended'}")
        return rest, (of(system.processes).pss - rest.pss) / load.connections


def _wait_until_open(field: Field, streams: int) -> None:
    deadline = time.monotonic() + _OPEN_SECONDS
    while (there := field.open_streams()) < streams:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{there} of {streams} streams have come to the upstream within {_OPEN_SECONDS:g} s")
        time.sleep(_LOOK_SECONDS)
