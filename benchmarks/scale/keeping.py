"""Rounds as they are kept, and what is told of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.measure import Round
from benchmarks.quantiles import spread
from benchmarks.scale.window import Held

ROLES = ("worker", "gateway", "envoy", "router", "loader", "postgres", "admin", "supervisor")

Kept = Mapping[str, Any]


def of_round(one: Round, *, offered: float | None = None) -> dict[str, Any]:
    """CPU of each role per token or request, and what else tells of a window."""
    found = {
        "seconds": one.seconds,
        "units": one.units,
        "us": {role: one.cost(role) for role in one.processes},
        "switches": {role: one.switches(role) for role in one.processes},
        "p50_ms": one.client["p50_ms"],
        "p99_ms": one.client["p99_ms"],
        "calibration_ms": one.calibration_ms,
        "load_average": one.load_average,
    }
    return found if offered is None else found | {"delivered": one.units / one.seconds / offered}


def of_held(held: Held) -> dict[str, Any]:
    """PSS of each role in KiB, and what a stream has of it."""
    return {
        "streams": held.streams,
        "kib_per_stream": {role: held.per_stream(role) for role in held.before},
        **{
            when: {role: {"pss": one.pss, "descriptors": one.descriptors} for role, one in found.items()}
            for when, found in (("before", held.before), ("during", held.during), ("after", held.after))
        },
    }


def add(kept: dict[str, Any], found: Mapping[str, Any]) -> None:
    """Add rounds to those of before; what is not rounds is replaced."""
    for part, points in found.items():
        before = kept.setdefault(part, {})
        for label, one in points.items():
            before[label] = before.get(label, []) + one if isinstance(one, list) else one


def costs(rounds: Sequence[Kept], role: str) -> dict[str, float]:
    """CPU of a role per unit, in µs, over the rounds."""
    return spread([one["us"].get(role, 0.0) for one in rounds])


def growth(rounds: Sequence[Kept], first: Sequence[Kept], role: str) -> float:
    """How much dearer a unit is than at the first point: the median of the ratios within a round."""
    pairs = zip(rounds, first, strict=False)
    return spread([one["us"][role] / other["us"][role] for one, other in pairs])["median"]


def table(points: Mapping[str, Sequence[Kept]]) -> str:
    """A row for each point: µs per unit by role, their sum, and how much dearer the gateway's is than at the first."""
    first = next(iter(points.values()))
    lines = [
        "| | units/s | " + " | ".join(ROLES[:4]) + " | all | gateway, to the first | all, to the first |",
        "|---|" + "---:|" * 8,
    ]
    for label, rounds in points.items():
        rate = spread([one["units"] / one["seconds"] for one in rounds])["median"]
        spreads = [*(costs(rounds, role) for role in ROLES[:4]), costs(_summed(rounds), "all")]
        cells = [f"{rate:.0f}", *map(_cell, spreads)]
        cells.append(f"{growth(rounds, first, 'gateway'):.2f}")
        cells.append(f"{growth(_summed(rounds), _summed(first), 'all'):.2f}")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def memory_table(points: Mapping[str, Kept]) -> str:
    """A row for each number of streams: KiB per stream by role."""
    lines = ["| KiB per stream | " + " | ".join(ROLES[:4]) + " | all |", "|---|" + "---:|" * 5]
    for label, one in points.items():
        per = one["held"]["kib_per_stream"]
        cells = [f"{per[role]:.1f}" for role in ROLES[:4]]
        lines.append(f"| {label} | " + " | ".join(cells) + f" | {sum(per.values()):.1f} |")
    return "\n".join(lines) + "\n"


def starts_table(found: Mapping[str, Sequence[Kept]]) -> str:
    """A row for each process: how long and how much CPU it takes to serve, and what it holds then."""
    lines = [
        "| | s, all at once | s, alone | CPU, s | importing, CPU, s | PSS, MiB | RSS, MiB |",
        "|---|" + "---:|" * 6,
    ]
    for name in sorted({name for each in found["together"] for name in each}):
        role = "worker" if name.startswith("echo-") else name
        crowd = [each[name] for each in found["together"] if name in each]
        single = [each[role] for each in found["alone"] if role in each]
        imported = [each[role] for each in found["imports"] if role in each]
        cells = [
            _seconds([one["seconds"] for one in crowd]),
            _seconds([one["seconds"] for one in single]),
            _seconds([one["cpu_seconds"] for one in single or crowd]),
            _seconds(imported),
            *(f"{spread([one[field] / 1024 for one in crowd])['median']:.1f}" for field in ("pss", "rss")),
        ]
        lines.append(f"| {role} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _seconds(values: Sequence[float]) -> str:
    return f"{spread(values)['median']:.2f} ({min(values):.2f}–{max(values):.2f})" if values else "–"


def _summed(rounds: Sequence[Kept]) -> list[dict[str, Any]]:
    return [{"us": {"all": sum(one["us"].get(role, 0.0) for role in ROLES)}} for one in rounds]


def _cell(values: Mapping[str, float]) -> str:
    return f"{values['median']:.1f} ({values['min']:.1f}–{values['max']:.1f})"
