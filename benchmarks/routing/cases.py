"""What is played: fleets and traffic, held out from what strategies were tuned on.

A seed decides which part of a trace comes and who of it is left out, or what a generator makes. From a trace only one
half is taken: strategies were tuned on the first, and on seeds below 1000.
"""

import pathlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from services.router.simulator import scenario as scenarios
from services.router.simulator.scenario import Scenario
from services.router.simulator.traffic import trace

HELD_OUT_SEED = 1000
# The traces by their names here, and their files in the folder of traces.
FILES = {"mooncake": "mooncake_conversation.jsonl.gz", "azure": "azure_llm_2023_code.csv.gz"}
# Windows of a trace begin so many times later from seed to seed, until they begin anew.
_WINDOWS = 10


class Case(NamedTuple):
    """A fleet and its traffic.

    Attributes:
        name: its own.
        scenario: the built-in scenario that it begins from.
        source: `mooncake` or `azure`; empty is the scenario's generator.
        rate: where a search for its capacity begins.
        scale: times as many requests as others, where they are short.
    """

    name: str
    scenario: str
    source: str
    rate: float
    scale: float = 1.0


CASES = (
    Case("equal", "equal", "mooncake", 2.6),
    Case("mixed", "mixed", "mooncake", 1.5),
    Case("prefixes", "prefixes", "", 4.5),
    Case("decode", "decode", "", 10.5, 1.5),
    Case("code", "equal", "azure", 2.2),
)


class Material(NamedTuple):
    """What cases are played from.

    Attributes:
        folder: where traces are; None: only generators are played.
        requests: of a run, the warm-up's included.
        half: of traces, 0 or 1; 1 is held out.
        first_seed: seeds count from here.
    """

    folder: pathlib.Path | None
    requests: int
    half: Literal[0, 1] = 1
    first_seed: int = HELD_OUT_SEED

    def seeds(self, count: int) -> list[int]:
        """So many seeds."""
        return list(range(self.first_seed, self.first_seed + count))

    def cases(self, cases: Sequence[Case] = CASES) -> list[Case]:
        """Those that can be played."""
        return [case for case in cases if not case.source or self.folder is not None]

    def scenario(self, case: Case, seed: int, rate: float, **changes: Any) -> Scenario:
        """The case as a seed has it.

        Args:
            case: the case.
            seed: decides which window of a trace is taken.
            rate: of its traffic.
            changes: of the scenario's other fields.

        Raises:
            TraceError: the trace cannot be read.
        """
        whole = scenarios.load(case.scenario)
        count = round(self.requests * case.scale)
        traffic: dict[str, Any] = {"rate": rate, "requests": count}
        if case.source:
            assert self.folder is not None, "a case with a trace needs the folder of traces"
            path = self.folder / FILES[case.source]
            traffic |= {"trace": path, "window_seconds": window(path, seed, self.half, count)}
        changes["traffic"] = whole.traffic.model_copy(update=traffic)
        return whole.model_copy(update=changes)


def window(path: pathlib.Path, seed: int, half: int, count: int) -> tuple[float, float]:
    """The part of a trace that a seed has: from a beginning that moves through the half, to the half's end.

    Raises:
        TraceError: the trace cannot be read.
    """
    requests = trace.read(path)
    middle, end = requests[-1].at / 2, requests[-1].at + 1.0
    low, high = (0.0, middle) if half == 0 else (middle, end)
    there = [request.at for request in requests if low <= request.at < high]
    # A tenth is left out by chance, so that a little more than the count has to be left behind the beginning.
    last = max(0, len(there) - round(count * 1.2))
    return there[last * (seed % _WINDOWS) // (_WINDOWS - 1)], high
