"""One run: streams that begin at once, and what each process used while they ran."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks import cpu
from benchmarks.calibration import calibrate
from benchmarks.child import Child, child
from benchmarks.system import System

# Not of the front-end: they make or take the tokens.
APART = ("engine", "client")
# Tokens at either end of an answer that are left out of the window.
_EDGE_TOKENS = 3
_LONG_SECONDS = 600.0
_REST_SECONDS = 2.0
# Some front-ends ask their engine for a token now and then, to see whether it is well.
_RESTING_SHARE = 0.15


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """What one run showed.

    Attributes:
        window_tokens: tokens between the two samples of CPU, while every stream ran.
        window_seconds: the time between them.
        processes: what each role used in that window.
        whole_tokens: tokens of all answers.
        whole: what each role used from before the first request until the last answer had ended.
        first_seconds: times to first word, stream by stream.
        token_seconds: times per output token, stream by stream: from first word to last, by the tokens after the first.
        pieces: events with content of all answers.
        idle: CPU of the front-end, in seconds a second, while nobody asks for anything.
    """

    window_tokens: int
    window_seconds: float
    processes: Mapping[str, cpu.Usage]
    whole_tokens: int
    whole: Mapping[str, cpu.Usage]
    first_seconds: Sequence[float]
    token_seconds: Sequence[float]
    pieces: int
    idle: float
    calibration_ms: float
    load_average: float

    def cost(self, role: str) -> float:
        """CPU of a role per token while every stream runs, in µs."""
        return self.processes[role].ns / 1e3 / self.window_tokens

    @property
    def front(self) -> float:
        """CPU of everything but engine and client per token while every stream runs, in µs."""
        return sum(self.cost(role) for role in self.processes if role not in APART)

    @property
    def front_beyond_idle(self) -> float:
        """The same without what the front-end takes while nobody asks, in µs."""
        return self.front - self.idle * 1e6 * self.window_seconds / self.window_tokens

    @property
    def front_whole(self) -> float:
        """The same over whole answers: beginnings and ends included."""
        return sum(used.ns for role, used in self.whole.items() if role not in APART) / 1e3 / self.whole_tokens


def run(system: System, *, streams: int, tokens: int) -> Run:
    """Ask for so many answers at once, each so many tokens long, and read them to their ends.

    Raises:
        RuntimeError: an answer failed, or did not have that length.
    """
    idle = until_resting(system)
    calibration = calibrate()
    with asking(system, streams=streams, tokens=tokens) as (client, processes):
        at_first = cpu.sample(processes)
        begin(client, system)
        client.ask("report")
        before, begun = cpu.sample(processes), time.perf_counter()
        _ask(client, f"count {streams * (tokens - 2 * _EDGE_TOKENS)}", system)
        after, lasted = cpu.sample(processes), time.perf_counter() - begun
        window = client.ask("report")
        answers = _ask(client, "finish", system)["answers"]
        at_last = cpu.sample(processes)
    told = sum(one["tokens"] for one in answers)
    if told != streams * tokens:
        raise RuntimeError(f"{system.name}: {told} tokens, {streams * tokens} were asked for")
    pieces = sum(one["pieces"] for one in answers)
    return Run(
        window_tokens=round(sum(one["pieces"] for one in window) * told / pieces),
        window_seconds=lasted,
        processes={role: after[role] - before[role] for role in processes},
        whole_tokens=told,
        whole={role: at_last[role] - at_first[role] for role in processes},
        first_seconds=[one["first"] for one in answers],
        token_seconds=[one["lasted"] / (one["tokens"] - 1) for one in answers],
        pieces=pieces,
        idle=idle,
        calibration_ms=calibration,
        load_average=os.getloadavg()[0],
    )


@contextlib.contextmanager
def asking(system: System, *, streams: int, tokens: int) -> Iterator[tuple[Child, dict[str, Sequence[int]]]]:
    """A client that has not asked yet, and all processes with it by role."""
    arguments = ["--port", str(system.port), "--model", system.model]
    arguments += ["--streams", str(streams), "--tokens", str(tokens)]
    headers = dict(system.headers)
    if system.key:
        headers["authorization"] = f"Bearer {system.key}"
    for name, value in headers.items():
        arguments += ["--header", f"{name}: {value}"]
    with child("benchmarks.local.client", *arguments) as client:
        yield client, {**system.processes, "client": [client.pid]}


def begin(client: Child, system: System) -> None:
    """Have the client ask, and wait until every answer has begun.

    Raises:
        RuntimeError: one failed.
    """
    _ask(client, "go", system)


def _ask(client: Child, line: str, system: System) -> Any:
    told = client.ask(line, seconds=_LONG_SECONDS)
    if told["failures"]:
        raise RuntimeError(f"{system.name}: {told['failures']}")
    return told


def until_resting(system: System) -> float:
    """Wait until the system's engine has nothing more to do, and tell the front-end's CPU while it has none.

    Raises:
        RuntimeError: it does not come to rest.
    """
    until = time.monotonic() + _LONG_SECONDS
    while True:
        before = cpu.sample(system.processes)
        time.sleep(_REST_SECONDS)
        after = cpu.sample(system.processes)
        used = {role: (after[role] - before[role]).ns / 1e9 / _REST_SECONDS for role in before}
        if used.pop("engine") < _RESTING_SHARE:
            return sum(used.values())
        if time.monotonic() > until:
            raise RuntimeError(f"{system.name}: its engine does not rest")
