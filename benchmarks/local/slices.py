"""Two systems by turns, a slice of time each, while the streams of both are under way.

The one whose turn it is not has its engine stopped (SIGSTOP), makes no tokens and takes no CPU: its front-end has
nothing to do. Slices are short and next to each other, so what else the machine does hits both members of a pair, and
no answer has to begin anew for a slice.
"""

import contextlib
import dataclasses
import signal
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence

import psutil

from benchmarks import cpu
from benchmarks.child import Child
from benchmarks.local.run import APART, asking, begin, until_resting
from benchmarks.system import System

# For what is under way in a front-end when its engine stops, and for the step that the engine was in.
_DRAIN_SECONDS = 0.3


@dataclasses.dataclass(frozen=True, slots=True)
class Slice:
    """What one slice showed.

    Attributes:
        token_seconds: time per output token, the mean over the streams: from the first token in the slice to the last.
        tokens: pieces that came.
        processes: what each role used.
    """

    token_seconds: float
    tokens: int
    processes: Mapping[str, cpu.Usage]

    @property
    def front(self) -> float:
        """CPU of everything but engine and client per token, in µs."""
        return sum(used.ns for role, used in self.processes.items() if role not in APART) / 1e3 / self.tokens


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """A system under load that waits for its turn."""

    system: System
    client: Child
    processes: Mapping[str, Sequence[int]]

    def stop(self) -> None:
        """Stop the engine."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the engine go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.processes["engine"]:
            psutil.Process(pid).send_signal(number)

    def slice(self, seconds: float) -> Slice:
        """Let it run for a while.

        Raises:
            RuntimeError: an answer failed or has ended, or there were too few tokens.
        """
        self.client.ask("report")
        before = cpu.sample(self.processes)
        self.resume()
        time.sleep(seconds)
        self.stop()
        time.sleep(_DRAIN_SECONDS)
        after = cpu.sample(self.processes)
        told = self.client.ask("report")
        if any(one["pieces"] < 2 for one in told):
            raise RuntimeError(f"{self.system.name}: a stream had fewer than two tokens in {seconds:g} s")
        times = [one["seconds"] / (one["pieces"] - 1) for one in told]
        used = {role: after[role] - before[role] for role in self.processes}
        return Slice(statistics.fmean(times), sum(one["pieces"] for one in told), used)


@contextlib.contextmanager
def under_load(system: System, *, streams: int, tokens: int) -> Iterator[Turn]:
    """A system whose streams have all begun, stopped."""
    until_resting(system)
    with asking(system, streams=streams, tokens=tokens) as (client, processes):
        turn = Turn(system, client, processes)
        try:
            begin(client, system)
            turn.stop()
            time.sleep(_DRAIN_SECONDS)
            yield turn
        finally:
            turn.resume()


def alternate(one: Turn, other: Turn, *, pairs: int, seconds: float) -> list[tuple[Slice, Slice]]:
    """Pairs of slices, each begun by the other of the two: what drifts evenly cancels out."""
    found = []
    for number in range(pairs):
        if number % 2:
            second, first = other.slice(seconds), one.slice(seconds)
        else:
            first, second = one.slice(seconds), other.slice(seconds)
        found.append((first, second))
    return found
