"""A run of the suite: memory of each system alone, then all of them in turn, round after round."""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.child import child
from benchmarks.measure import Load, Round
from benchmarks.remote import memory, suite
from benchmarks.remote.contenders import Contenders
from benchmarks.remote.cores import Places, settle
from benchmarks.remote.figures import DIRECT, Figure
from benchmarks.remote.turns import turn
from benchmarks.remote.windows import Failed, Field
from benchmarks.system import System, free_port

# A stream that is silent after its first token, and one that is busy but waits for nobody.
_IDLE_MS, _BUSY_MS = 3_600_000, 100
_KINDS = {"idle": _IDLE_MS, "busy": _BUSY_MS}
_MIB, _KIB = 1 << 20, 1 << 10


@dataclasses.dataclass(slots=True)
class Found:
    """What has been measured so far."""

    windows: list[suite.Window] = dataclasses.field(default_factory=list)
    rates: list[suite.Rate] = dataclasses.field(default_factory=list)
    memory: dict[str, dict[str, Figure]] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)


@contextlib.contextmanager
def field_of(token_ms: float) -> Iterator[tuple[Field, int]]:
    """An upstream, and its port."""
    port = free_port()
    arguments = ("--port", str(port), "--token-ms", str(token_ms))
    with child("benchmarks.upstream", *arguments) as upstream:
        yield Field(upstream), port


def run(
    contenders: Contenders,
    plan: suite.Plan,
    places: Places,
    *,
    lock: pathlib.Path | None,
    keep: Callable[[Found], None],
) -> Found:
    """Measure. After each part `keep` is given what there is so far. This process stays at the tools' place."""
    settle(places.tools)
    found = Found()
    with field_of(plan.token_ms) as (field, port):
        found.notes = field.notes
        if plan.memory_streams:
            for name in contenders.starts:
                _memory(found, field, port, name, plan, places, contenders)
            keep(found)
        if not plan.rounds:
            return found
        with contenders.started(list(contenders.starts), port, places.system) as systems:
            direct = System(DIRECT, port, {}, model="bench")
            for number in range(plan.rounds):
                for _ in _round(found, field, [direct, *systems], plan, number + 1, lock):
                    keep(found)
    return found


def _round(
    found: Found, field: Field, systems: Sequence[System], plan: suite.Plan, number: int, lock: pathlib.Path | None
) -> Iterator[None]:
    """One round; after each part of it there is something to keep."""
    for loads in plan.loads:
        with turn(lock):
            for window in suite.windows(field, systems, loads, seconds=plan.seconds):
                found.windows.append(window)
                _say(f"round {number}: {window.system}, {window.load.name}: {_outcome(window.outcome)}")
        yield
    for system in systems if plan.limit else ():
        with turn(lock):
            found.rates.append(rate := suite.rate(field, system, plan))
        _say(f"round {number}: {rate.system}: {rate.streams} streams at most, {rate.tokens_per_second:.0f} tokens/s")
        yield


def _memory(
    found: Found, field: Field, port: int, name: str, plan: suite.Plan, places: Places, contenders: Contenders
) -> None:
    """At rest and with streams of each kind, each time freshly started: what streams leave behind hides others."""
    for kind, pace_ms in _KINDS.items():
        load = Load("streams", plan.memory_streams, pace_ms=pace_ms)
        row = f"memory per {kind} stream, KiB"
        with contenders.started([name], port, places.system) as systems:
            for system in systems:
                try:
                    rest, added = memory.per_stream(field, system, load)
                except RuntimeError as failure:
                    _add(found.memory, row, name, Figure(failures=[str(failure)]))
                    continue
                _add(found.memory, "memory at rest, PSS, MiB", name, Figure([rest.pss / _MIB]))
                _add(found.memory, "memory at rest, RSS, MiB", name, Figure([rest.rss / _MIB]))
                _add(found.memory, row, name, Figure([added / _KIB]))
                _say(f"{name}: {rest.pss / _MIB:.0f} MiB, and {added / _KIB:.1f} KiB for each {kind} stream")


def _add(rows: dict[str, dict[str, Figure]], row: str, system: str, told: Figure) -> None:
    before = rows.setdefault(row, {}).get(system, Figure())
    rows[row][system] = Figure([*before.values, *told.values], [*before.failures, *told.failures])


def _outcome(outcome: Round | Failed) -> str:
    if isinstance(outcome, Failed):
        return f"failed: {outcome.reason}"
    failed = "".join(f", {outcome.client[what]} {what}" for what in ("failed", "late") if outcome.client[what])
    return f"{outcome.units / outcome.seconds:.0f}/s, p99 {outcome.client['p99_ms']:.1f} ms{failed}"


def _say(what: str) -> None:
    print(what, file=sys.stderr)


def memory_rows(found: Found) -> Mapping[str, Mapping[str, Figure]]:
    """Memory's rows: at rest before per stream, whichever was measured first."""
    return dict(sorted(found.memory.items()))
