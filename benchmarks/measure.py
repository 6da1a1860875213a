"""One measurement: a load on a system, for a while, and what each process used meanwhile."""

import dataclasses
import os
import time
from typing import Any, Literal

from benchmarks import cpu
from benchmarks.calibration import calibrate
from benchmarks.child import child
from benchmarks.system import System

Kind = Literal["streams", "requests"]

# Streams are begun one after the other, and what comes with a beginning is over a second later.
_SETTLE_SECONDS = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """What the client does: so many streams, or so many connections that ask one request after the other."""

    kind: Kind
    connections: int

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


def measure(system: System, load: Load, *, seconds: float) -> Round:
    """Put the load on the system for a window.

    Raises:
        RuntimeError: a request failed, or nothing came.
    """
    calibration = calibrate()
    arguments = (load.kind, "--port", str(system.port), "--connections", str(load.connections))
    with child("benchmarks.client", *arguments, seconds=60) as client:
        processes = {**system.processes, "client": [client.pid]}
        time.sleep(_SETTLE_SECONDS)
        client.ask("begin")
        before, begun = cpu.sample(processes), time.perf_counter()
        time.sleep(seconds)
        after, lasted = cpu.sample(processes), time.perf_counter() - begun
        report = client.ask("report")
    units = report["pieces"] if load.kind == "streams" else report["replies"]
    if report["failures"] or not units:
        raise RuntimeError(f"{system.name}, {load.name}: {report['failures'][:3] or 'nothing came'}")
    # The client counts for as long as it takes to take the samples, too.
    units = round(units * lasted / report["seconds"])
    used = {name: after[name] - before[name] for name in processes}
    return Round(lasted, units, report, used, calibration, os.getloadavg()[0])
