"""One window: so many streams with so many tokens a second between them, and what each role used and held meanwhile."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import cpu
from benchmarks.calibration import calibrate
from benchmarks.child import Child, child
from benchmarks.measure import Round
from benchmarks.scale import memory
from benchmarks.scale.memory import Memory
from benchmarks.system import System

# What comes with the beginning of the streams is over by then.
_SETTLE_SECONDS = 2.0
_OPEN_SECONDS = 240.0


@dataclasses.dataclass(frozen=True, slots=True)
class Streams:
    """What is offered: `rate` tokens a second in all."""

    count: int
    rate: float

    @property
    def token_ms(self) -> float:
        """Mean time between two tokens of a stream."""
        return self.count / self.rate * 1e3


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """What each role held before, while there were streams, and after they had ended."""

    streams: int
    before: dict[str, Memory]
    during: dict[str, Memory]
    after: dict[str, Memory]

    def per_stream(self, role: str) -> float:
        """KiB (PSS) that a role holds for each stream."""
        return (self.during[role].pss - self.before[role].pss) / self.streams


@contextlib.contextmanager
def streaming(system: System, streams: Streams) -> Iterator[Child]:
    """The streams, once all have begun."""
    arguments = ("--port", str(system.port), "--streams", str(streams.count), "--token-ms", f"{streams.token_ms:.4f}")
    with child("benchmarks.scale.client", *arguments, seconds=_OPEN_SECONDS) as client:
        time.sleep(_SETTLE_SECONDS)
        yield client


def measure(system: System, streams: Streams, *, seconds: float) -> Round:
    """CPU of each role for the tokens of a window.

    Raises:
        RuntimeError: a stream failed, or nothing came.
    """
    calibration = calibrate()
    with streaming(system, streams) as client:
        return _counted(system, client, seconds, calibration)


def hold(system: System, streams: Streams, *, seconds: float) -> tuple[Round, Held]:
    """The same, and the memory that the streams take.

    A few streams come and go before, so that what is there once is not counted.

    Raises:
        RuntimeError: a stream failed, or nothing came.
    """
    calibration = calibrate()
    with streaming(system, Streams(16, 64.0)):
        pass
    time.sleep(_SETTLE_SECONDS)
    before = memory.sample(system.processes)
    with streaming(system, streams) as client:
        counted = _counted(system, client, seconds, calibration)
        during = memory.sample(system.processes)
    time.sleep(_SETTLE_SECONDS)
    return counted, Held(streams.count, before, during, memory.sample(system.processes))


def _counted(system: System, client: Child, seconds: float, calibration: float) -> Round:
    processes = {**system.processes, "client": [client.pid]}
    client.ask("begin")
    before, begun = cpu.sample(processes), time.perf_counter()
    time.sleep(seconds)
    after, lasted = cpu.sample(processes), time.perf_counter() - begun
    report: dict[str, Any] = client.ask("report")
    if report["failures"] or not report["pieces"]:
        raise RuntimeError(f"{system.name}: {report['failures'][:3] or 'nothing came'}")
    # The client counts for as long as it takes to take the samples, too.
    tokens = round(report["pieces"] * lasted / report["seconds"])
    used = {role: after[role] - before[role] for role in processes}
    return Round(lasted, tokens, report, used, calibration, os.getloadavg()[0])
