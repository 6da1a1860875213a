"""One measurement: a load on a system, for a while, and what each process used meanwhile."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator
from typing import Any, Literal

from benchmarks import cpu
from benchmarks.calibration import calibrate
from benchmarks.child import Child, child
from benchmarks.system import System

Kind = Literal["streams", "requests"]

# Streams are begun one after the other, and what comes with a beginning is over a second later.
_SETTLE_SECONDS = 1.0
_STARTING_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """What the client does: so many streams, or so many connections that ask one request after the other.

    Attributes:
        max_tokens: how long an answer is: one token, or a stream without end, unless it is given.
        pace_ms: time between tokens that the fake upstream is told, instead of its own.
        patience: seconds in which all answers have to begin; the measurement begins no later. 0: they need not.
    """

    kind: Kind
    connections: int
    max_tokens: int | None = None
    pace_ms: int | None = None
    patience: float = 60.0

    @property
    def name(self) -> str:
        if self.kind == "streams":
            return f"{self.connections} streams"
        return "requests, one after the other" if self.connections == 1 else f"requests, {self.connections} at once"

    @property
    def unit(self) -> str:
        return "token" if self.kind == "streams" else "request"


@dataclasses.dataclass(frozen=True, slots=True)
class Round:
    """One window. `client` is the client's report; `units` are tokens or replies."""

    seconds: float
    units: int
    client: dict[str, Any]
    processes: dict[str, cpu.Usage]
    calibration_ms: float
    load_average: float

    def cost(self, process: str) -> float:
        """CPU of a process per unit, in µs."""
        return self.processes[process].ns / 1e3 / self.units

    def switches(self, process: str) -> float:
        """Context switches of a process per unit."""
        return self.processes[process].switches / self.units


@contextlib.contextmanager
def client(system: System, load: Load) -> Iterator[Child]:
    """A process that puts the load on the system; entered when every answer has begun, or its patience has ended."""
    arguments = [load.kind, "--port", str(system.port), "--connections", str(load.connections)]
    arguments += ["--model", system.model, "--key", system.key]
    arguments += [argument for name, value in system.headers.items() for argument in ("--header", f"{name}: {value}")]
    arguments += ["--max-tokens", str(load.max_tokens)] if load.max_tokens is not None else []
    arguments += ["--pace-ms", str(load.pace_ms)] if load.pace_ms is not None else []
    arguments += ["--patience", str(load.patience)]
    arguments += ["--echo"] if system.model == "echo" else []
    with child("benchmarks.client", *arguments, seconds=load.patience + _STARTING_SECONDS) as loading:
        yield loading


def measure(system: System, load: Load, *, seconds: float, tolerant: bool = False) -> Round:
    """Put the load on the system for a window.

    Args:
        system: what has to bear it.
        load: what the client does.
        seconds: length of the window.
        tolerant: what fails is no more than part of the client's report, as long as anything comes.

    Raises:
        RuntimeError: a request failed, or nothing came.
    """
    calibration = calibrate()
    with client(system, load) as loading:
        processes = {**system.processes, "client": [loading.pid]}
        time.sleep(_SETTLE_SECONDS)
        loading.ask("begin")
        before, begun = cpu.sample(processes), time.perf_counter()
        time.sleep(seconds)
        after, lasted = cpu.sample(processes), time.perf_counter() - begun
        report = loading.ask("report")
    units = report["pieces"] if load.kind == "streams" else report["replies"]
    if (report["failures"] and not tolerant) or not units:
        raise RuntimeError(f"{system.name}, {load.name}: {report['failures'][:3] or 'nothing came'}")
    # The client counts for as long as it takes to take the samples, too.
    units = round(units * lasted / report["seconds"])
    used = {name: after[name] - before[name] for name in processes}
    return Round(lasted, units, report, used, calibration, os.getloadavg()[0])
