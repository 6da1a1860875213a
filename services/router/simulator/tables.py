"""Results as tables for people and as plain data for programs."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.table import Table

from services.router.simulator import statistics
from services.router.simulator.policy import Policy
from services.router.simulator.results import Summary
from services.router.simulator.statistics import Interval

_Column = tuple[str, str, Callable[[Summary], float], int]

# Name for programs, heading, value, decimals.
COLUMNS: tuple[_Column, ...] = (
    ("good_share", "good %", lambda summary: 100 * summary.good_share, 1),
    ("ttft_mean", "TTFT s", lambda summary: summary.ttft.mean, 3),
    ("ttft_p50", "p50", lambda summary: summary.ttft.p50, 3),
    ("ttft_p90", "p90", lambda summary: summary.ttft.p90, 2),
    ("ttft_p99", "p99", lambda summary: summary.ttft.p99, 2),
    ("tpot_mean_ms", "TPOT ms", lambda summary: 1e3 * summary.tpot.mean, 1),
    ("tpot_p99_ms", "p99", lambda summary: 1e3 * summary.tpot.p99, 1),
    ("e2e_mean", "E2E s", lambda summary: summary.e2e.mean, 2),
    ("e2e_p99", "p99", lambda summary: summary.e2e.p99, 1),
    ("hit_share", "hit %", lambda summary: 100 * summary.hit_share, 1),
    ("cost_usd", "USD", lambda summary: summary.cost_usd, 3),
    ("jain", "Jain", lambda summary: summary.jain, 3),
    ("amplification", "tries", lambda summary: summary.amplification, 3),
)


def comparison(title: str, found: Mapping[Policy, Sequence[Summary]]) -> Table:
    """A row for each policy: means over seeds, and for what is good the 95 % interval and its gap to the first one."""
    table = Table(title=title, title_justify="left")
    table.add_column("policy")
    for name, heading, _, _ in COLUMNS:
        table.add_column(heading, justify="right")
        if name == "good_share":
            table.add_column("95 %", justify="right")
            table.add_column("to the first", justify="right")
    first = next(iter(found.values()))
    for policy, summaries in found.items():
        cells = [str(policy)]
        for name, _, value, decimals in COLUMNS:
            interval = statistics.mean([value(summary) for summary in summaries])
            cells.append(f"{interval.value:.{decimals}f}")
            if name == "good_share":
                gap = statistics.difference([value(s) for s in summaries], [value(s) for s in first])
                cells.append(_bounds(interval, 1))
                told = f"{gap.value:+.1f} ({_bounds(gap, 1, '+')})" if len(summaries) > 1 else f"{gap.value:+.1f}"
                cells.append("" if summaries is first else told)
        table.add_row(*cells)
    return table


def keys(title: str, found: Mapping[Policy, Sequence[Summary]]) -> Table:
    """A row for each policy and key: what it asked for and got, as means over seeds."""
    table = Table(title=title, title_justify="left")
    for heading in ("policy", "key", "requests", "good %", "service / due", "TTFT p90 s"):
        table.add_column(heading, justify="left" if heading in ("policy", "key") else "right")
    for policy, summaries in found.items():
        for key in sorted({key for summary in summaries for key in summary.keys}):
            parts = [summary.keys[key] for summary in summaries if key in summary.keys]
            count = len(parts)
            table.add_row(
                str(policy),
                key,
                f"{sum(part.requests for part in parts) / count:.0f}",
                f"{100 * sum(part.good_share for part in parts) / count:.1f}",
                f"{sum(part.service / part.due if part.due else 1.0 for part in parts) / count:.3f}",
                f"{sum(part.ttft_p90 for part in parts) / count:.2f}",
            )
    return table


def capacity(title: str, found: Mapping[Policy, Sequence[float]]) -> Table:
    """A row for each policy: the highest rate, and how many times that of the first policy it is."""
    table = Table(title=title, title_justify="left")
    for heading in ("policy", "rate", "95 %", "times the first", "95 %"):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    first = next(iter(found.values()))
    for policy, rates in found.items():
        mean, times = statistics.mean(rates), statistics.ratio(rates, first)
        table.add_row(str(policy), f"{mean.value:.3f}", _bounds(mean, 3), f"{times.value:.3f}", _bounds(times, 3))
    return table


def comparison_data(found: Mapping[Policy, Sequence[Summary]], seeds: Sequence[int]) -> dict[str, Any]:
    """The same as plain data, by policy: for each column its interval and the value of each seed."""
    return {
        str(policy): {
            **{name: _data([value(summary) for summary in summaries], seeds) for name, _, value, _ in COLUMNS},
            "outcomes": [dict(summary.outcomes) for summary in summaries],
            "workers": [dict(summary.workers) for summary in summaries],
            "keys": [{key: part._asdict() for key, part in summary.keys.items()} for summary in summaries],
        }
        for policy, summaries in found.items()
    }


def capacity_data(found: Mapping[Policy, Sequence[float]], seeds: Sequence[int]) -> dict[str, Any]:
    """Rates as plain data, by policy."""
    return {str(policy): {"rate": _data(rates, seeds)} for policy, rates in found.items()}


def _data(values: Sequence[float], seeds: Sequence[int]) -> dict[str, Any]:
    return {**statistics.mean(values)._asdict(), "seeds": dict(zip(map(str, seeds), values, strict=True))}


def _bounds(interval: Interval, decimals: int, sign: str = "") -> str:
    """The bounds in words; nothing where one seed alone says nothing of chance."""
    if not math.isfinite(interval.high - interval.low):
        return ""
    return f"{interval.low:{sign}.{decimals}f} to {interval.high:{sign}.{decimals}f}"
