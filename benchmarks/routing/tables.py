"""What was found, as Markdown: each part's plain data as a table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]
_Interval = Mapping[str, float | None]


def markdown(found: Mapping[str, Any]) -> str:
    """Every part that is there, in the order in which they are told."""
    return "\n\n".join(
        f"### {title}\n\n{table(found[part]['found'])}" for part, (title, table) in _PARTS.items() if part in found
    )


def _table(headings: Sequence[str], lines: Sequence[Sequence[str]], *, words: int = 1) -> str:
    """A table whose first so many columns are words, and the others numbers."""
    rule = ["---"] * words + ["---:"] * (len(headings) - words)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, rule, *lines))


def _with_bounds(value: _Interval, decimals: int, scale: float = 1.0, sign: str = "") -> str:
    numbers = [value[name] for name in ("value", "low", "high")]
    told = ["–" if number is None else f"{scale * number:{sign}.{decimals}f}" for number in numbers]
    return f"{told[0]} ({told[1]} to {told[2]})"


def _capacity(rows: Rows) -> str:
    headings = ["case", "seeds", "adaptive, rate", "best other, rate", "adaptive by it"]
    lines = []
    for row in rows:
        best, policies = row["best_other"], row["policies"]
        lines.append(
            [
                row["case"],
                str(row["seeds"]),
                _with_bounds(policies["adaptive"]["rate"], 2),
                f"{best}: {_with_bounds(policies[best]['rate'], 2)}",
                f"**{_with_bounds(policies['adaptive']['times_best_other'], 3)}**",
            ]
        )
    return f"{_table(headings, lines)}\n\n{_all_capacities(rows)}"


def _all_capacities(rows: Rows) -> str:
    """A row for each rule, best first on the first case: by the best other's capacity; starred: out of the race."""
    policies = rows[0]["policies"]
    lines = []
    for policy in sorted(policies, key=lambda name: -policies[name]["rate"]["value"]):
        cells = []
        for row in rows:
            told = row["policies"][policy]
            out = "" if len(told["seeds"]) == row["seeds"] else " *"
            cells.append(f"{told['times_best_other']['value']:.2f}{out}")
        lines.append([policy, *cells])
    return _table(["rule", *(row["case"] for row in rows)], lines)


def _loads(rows: Rows) -> str:
    lines = [
        [
            row["case"],
            f"{row['load']:.1f}",
            _with_bounds(row["good"]["adaptive"], 1, 100),
            f"{row['best_other']}: {_with_bounds(row['good'][row['best_other']], 1, 100)}",
            _with_bounds(row["times_best_other"], 3),
        ]
        for row in rows
    ]
    return _table(["case", "load", "adaptive, good %", "best other, good %", "times"], lines)


def _vendors(rows: Rows) -> str:
    lines = []
    for row in rows:
        for kind in ("static", "static_with_lmetric"):
            for one in row[kind]:
                ratio, costs = "", [""] * 2
                if "cost_ratio" in one:
                    ratio, costs = _with_bounds(one["cost_ratio"], 2), [f" {usd:.3f}" for usd in one["cost_usd"]]
                chosen = [(one[who] or "not reached").removeprefix("adaptive:") for who in ("adaptive", "static")]
                adaptive, static = (name + cost for name, cost in zip(chosen, costs, strict=True))
                lines.append([row["case"], f"{100 * one['good']:.0f} %", adaptive, static, ratio])
    return _table(["case", "good, at least", "adaptive, USD", "best static rule, USD", "cost by cost"], lines)


def _budgets(rows: Rows) -> str:
    headings = ["case", "limit, USD", "requests", "at the vendor", "dearest, USD", "over the limit", "good %"]
    lines = [
        [
            row["case"],
            f"{row['limit_usd']:g}",
            str(row["requests"]),
            str(row["at_vendor"]),
            f"{row['dearest_usd']:.4f}",
            str(row["exceeded"]),
            f"{100 * row['good']:.1f}",
        ]
        for row in rows
    ]
    return _table(headings, lines)


_FIGURES: Sequence[tuple[str, Callable[[Mapping[str, Any]], str]]] = (
    ("good %", lambda row: _with_bounds(row["good"], 1, 100)),
    ("less the first", lambda row: _with_bounds(row["good_less_first"], 1, 100, "+")),
    ("hit %", lambda row: f"{100 * row['hit']['value']:.0f}"),
    ("TTFT p50 / p90 / p99, s", lambda row: _percentiles(row, "ttft", 1, 2)),
    ("TPOT, ms", lambda row: _percentiles(row, "tpot", 1e3, 0)),
    ("E2E, s", lambda row: _percentiles(row, "e2e", 1, 1)),
    ("Jain", lambda row: f"{row['jain']['value']:.3f}"),
    ("tries", lambda row: f"{row['tries']['value']:.3f}"),
)


def _details(rows: Rows) -> str:
    lines = [[row["case"], row["policy"], *(told(row) for _, told in _FIGURES)] for row in rows]
    return _table(["case", "rule", *(heading for heading, _ in _FIGURES)], lines, words=2)


def _close(rows: Rows) -> str:
    """The same with less of each row."""
    figures = _FIGURES[:4]
    lines = [[row["case"], row["wiring"], row["policy"], *(told(row) for _, told in figures)] for row in rows]
    return _table(["case", "routers", "rule", *(heading for heading, _ in figures)], lines, words=3)


def _percentiles(row: Mapping[str, Any], name: str, scale: float, decimals: int) -> str:
    return " / ".join(f"{scale * row[f'{name}_{at}']['value']:.{decimals}f}" for at in ("p50", "p90", "p99"))


_PARTS: Mapping[str, tuple[str, Callable[[Rows], str]]] = {
    "capacity": ("Capacity at 90 % good answers", _capacity),
    "loads": ("Good answers by load", _loads),
    "vendors": ("Cost with a vendor", _vendors),
    "budgets": ("Limits of cost", _budgets),
    "times": ("One load", _details),
    "parts": ("Parts of adaptive", _close),
    "staleness": ("Late reports", _close),
    "routers": ("Several routers", _close),
    "faults": ("Faults", _details),
}
