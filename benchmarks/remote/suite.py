"""One round of the suite: the same windows on every system, one system after the other."""

import dataclasses
from collections.abc import Iterator, Sequence

from benchmarks.measure import Load, Round
from benchmarks.remote.search import greatest
from benchmarks.remote.windows import Failed, Field
from benchmarks.system import System

# How much of what is offered has to arrive for a rate to count.
_DELIVERED = 0.95
# Streams that keep their rate have begun long before.
_PATIENCE_SECONDS = 15.0


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        rounds: how often.
        seconds: length of a window.
        requests: numbers of clients that ask one request after the other.
        streams: numbers of streams.
        token_ms: time between the tokens of a stream.
        limit: streams that the search for the highest rate does not go above; 0: no search.
        search_seconds: length of its windows.
        memory_streams: streams whose memory is measured; 0: none is.
    """

    rounds: int
    seconds: float
    requests: Sequence[int]
    streams: Sequence[int]
    token_ms: float
    limit: int
    search_seconds: float
    memory_streams: int

    @property
    def loads(self) -> Sequence[Sequence[Load]]:
        """What is put on every system: requests, then streams."""
        return [
            [Load("requests", count) for count in self.requests],
            [Load("streams", count) for count in self.streams],
        ]

    def offered(self, streams: int) -> float:
        """Tokens per second that so many streams ask for."""
        return streams * 1e3 / self.token_ms


@dataclasses.dataclass(frozen=True, slots=True)
class Window:
    """What came of a load on a system, in one round."""

    system: str
    load: Load
    outcome: Round | Failed


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """The highest rate that a system kept in one round.

    Attributes:
        streams: how many there were; 0 where not even one kept it.
        tokens_per_second: that were delivered.
        tried: every window of the search, as (streams, tokens per second, p99 of the gap in ms), or (streams, why not).
    """

    system: str
    streams: int
    tokens_per_second: float
    tried: Sequence[tuple[int, float, float] | tuple[int, str]]


def windows(field: Field, systems: Sequence[System], loads: Sequence[Load], *, seconds: float) -> Iterator[Window]:
    """Every load on every system."""
    for load in loads:
        for system in systems:
            yield Window(system.name, load, field.window(system, load, seconds=seconds))


def keeps(streams: int, told: Round, plan: Plan) -> bool:
    """Whether all streams run, nearly all tokens came, and p99 of the gaps is at most twice the cadence."""
    all_run = told.client["failed"] == told.client["late"] == 0
    enough = told.units / told.seconds >= _DELIVERED * plan.offered(streams)
    return all_run and enough and float(told.client["p99_ms"]) <= 2 * plan.token_ms


def rate(field: Field, system: System, plan: Plan) -> Rate:
    """Look for the highest rate. What does not hold is tried once more: one busy moment is no limit."""
    tried: list[tuple[int, float, float] | tuple[int, str]] = []
    kept = {0: 0.0}

    def holds(streams: int) -> bool:
        for _ in range(2):
            load = Load("streams", streams, patience=_PATIENCE_SECONDS)
            told = field.window(system, load, seconds=plan.search_seconds)
            if isinstance(told, Failed):
                tried.append((streams, told.reason))
                continue
            came = told.units / told.seconds
            tried.append((streams, came, float(told.client["p99_ms"])))
            if keeps(streams, told, plan):
                kept[streams] = came
                return True
        return False

    found = greatest(holds, first=min(32, plan.limit), limit=plan.limit, within=1.12)
    return Rate(system.name, found, kept[found], tried)
