"""What the runs showed, for people and for programs."""

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.local.ratio import Ratio, paired
from benchmarks.local.run import APART, Run
from benchmarks.local.slices import Slice
from benchmarks.quantiles import spread

OURS = "mesh"
_FRONT = "front-end, µs per token"
COMPARED: Mapping[str, Callable[[Run], float]] = {
    "front-end": lambda one: one.front,
    "front-end beyond idle": lambda one: one.front_beyond_idle,
    "front-end with beginnings and ends": lambda one: one.front_whole,
}


def figures(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Each figure of a system over its runs: median, least, greatest."""
    roles = [role for role in runs[0].processes if role not in APART]
    read: dict[str, list[float]] = {_FRONT: [one.front for one in runs]}
    read |= {f"{role}, µs per token": [one.cost(role) for one in runs] for role in roles}
    read |= {
        "front-end, idle, ms of CPU a second": [one.idle * 1e3 for one in runs],
        "front-end beyond idle, µs per token": [one.front_beyond_idle for one in runs],
        "front-end with beginnings and ends, µs per token": [one.front_whole for one in runs],
        "engine, µs per token": [one.cost("engine") for one in runs],
        "tokens/s": [one.window_tokens / one.window_seconds for one in runs],
        "time per output token, ms": [statistics.fmean(one.token_seconds) * 1e3 for one in runs],
        "first word p50, ms": [statistics.median(one.first_seconds) * 1e3 for one in runs],
        "tokens per piece": [one.whole_tokens / one.pieces for one in runs],
    }
    return {name: spread(values) for name, values in read.items()}


def ratios(runs: Mapping[str, Sequence[Run]], read: Callable[[Run], float]) -> dict[str, Ratio]:
    """CPU per token of the mesh's front-end to that of each other system, round by round."""
    ours = [read(one) for one in runs.get(OURS, ())]
    return {
        name: paired(ours, [read(one) for one in kept])
        for name, kept in runs.items()
        if name != OURS and len(ours) == len(kept) >= 2
    }


def table(runs: Mapping[str, Sequence[Run]]) -> str:
    """A row for each figure, a column for each system."""
    found = {name: figures(kept) for name, kept in runs.items()}
    rows = list(dict.fromkeys(row for one in found.values() for row in one))
    lines = ["| | " + " | ".join(found) + " |", "|---|" + "---:|" * len(found)]
    lines += [f"| {row} | " + " | ".join(_cell(one.get(row)) for one in found.values()) + " |" for row in rows]
    for what, read in COMPARED.items():
        compared = ratios(runs, read)
        cells = [_ratio(compared[name]) if name in compared else "–" for name in found]
        lines.append(f"| the mesh's to it, {what}, 95 % | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: Mapping[str, float] | None) -> str:
    if values is None:
        return "–"
    return f"{_number(values['median'])} ({_number(values['min'])}–{_number(values['max'])})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(found: Ratio) -> str:
    return f"{found.value:.2f} ({found.low:.2f}–{found.high:.2f})"


def slices_told(pairs: Sequence[tuple[Slice, Slice]]) -> dict[str, Any]:
    """What pairs of slices say of the first system beside the second."""
    ours, theirs = [one for one, _ in pairs], [other for _, other in pairs]
    ratio = paired([one.token_seconds for one in ours], [one.token_seconds for one in theirs])
    return {
        "time per output token, ratio": dataclasses.asdict(ratio),
        "within 3 %": ratio.within(0.03),
        "time per output token, ms": [
            spread([one.token_seconds * 1e3 for one in ours]),
            spread([one.token_seconds * 1e3 for one in theirs]),
        ],
        "front-end CPU per token, ratio": dataclasses.asdict(
            paired([one.front for one in ours], [one.front for one in theirs])
        ),
        "front-end, µs per token": [spread([one.front for one in ours]), spread([one.front for one in theirs])],
    }
