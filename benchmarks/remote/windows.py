"""What a window on a system showed: a measurement, or how it failed. A peer that fails is a result."""

import dataclasses
import time

import psutil

from benchmarks.child import Child
from benchmarks.measure import Load, Round, measure
from benchmarks.system import System

_LETTING_GO_SECONDS = 10.0
_LOOK_SECONDS = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no figure."""

    reason: str


class Field:
    """Systems in front of one upstream, whose own processes count apart."""

    def __init__(self, upstream: Child) -> None:
        self.upstream = upstream
        self.notes: list[str] = []

    def window(self, system: System, load: Load, *, seconds: float) -> Round | Failed:
        """Put the load on the system for a window."""
        watched = dataclasses.replace(system, processes={**system.processes, "upstream": [self.upstream.pid]})
        try:
            return measure(watched, load, seconds=seconds, tolerant=True)
        except (RuntimeError, OSError, psutil.Error) as failure:
            return Failed(str(failure))
        finally:
            self._let_go(f"{system.name}, {load.name}")

    def open_streams(self) -> int:
        """Streams that the upstream writes now."""
        return int(self.upstream.ask("report")["streams"])

    def _let_go(self, what: str) -> None:
        """Wait until streams whose client is gone have ended at the upstream, too; else end them there, and say so."""
        deadline = time.monotonic() + _LETTING_GO_SECONDS
        while (left := self.open_streams()) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        if left:
            self.upstream.ask("drop")
            self.notes.append(f"{what}: {left} streams still ran {_LETTING_GO_SECONDS:g} s after their client had gone")
