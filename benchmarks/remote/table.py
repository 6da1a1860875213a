"""Figures as Markdown: a row for each, a column for each system, with its ratio to ours."""

from collections.abc import Mapping, Sequence

from benchmarks.quantiles import spread
from benchmarks.remote.figures import OURS, Figure, Figures

_REASON_LENGTH = 60


def table(figures: Figures, systems: Sequence[str]) -> str:
    """Each cell: median (least–greatest), and how many times ours that is."""
    lines = ["| | " + " | ".join(systems) + " |", "|---|" + "---:|" * len(systems)]
    for name, row in figures.items():
        ours = row.get(OURS, Figure())
        cells = [_against(row.get(system, Figure()), ours, own=system == OURS) for system in systems]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def alone(figures: Mapping[str, Figure]) -> str:
    """Figures of one thing."""
    lines = ["| upstream and client without a system between them | |", "|---|---:|"]
    return "\n".join([*lines, *(f"| {name} | {cell(figure)} |" for name, figure in figures.items())])


def _against(figure: Figure, ours: Figure, *, own: bool) -> str:
    ratio = None if own else figure.ratio(ours)
    return cell(figure) + (f" ×{number(ratio)}" if ratio is not None and ratio > 0 else "")


def cell(figure: Figure) -> str:
    """One figure in words."""
    failed = len(figure.failures)
    if not figure.values:
        return f"failed: {_short(figure.failures[0])}" if failed else "–"
    told = spread(figure.values)
    text = number(told["median"])
    if len(figure.values) > 1:
        text += f" ({number(told['min'])}–{number(told['max'])})"
    return text + (f", failed in {failed} of {failed + len(figure.values)} rounds" if failed else "")


def _short(reason: str) -> str:
    line = " ".join(reason.split()).replace("|", "/")
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 1] + "…"


def number(value: float) -> str:
    """Three digits, or the whole number where it has more."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
