"""What was verified, as a table and for programs."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from services.cli.verify.checking import Result

_SHOWN = {"passed": "passed", "refused": "refused by name", "failed": "FAILED", "unshown": "not shown"}
_LOOKS = {"passed": "green", "refused": "yellow", "failed": "bold red", "unshown": "dim"}


def table(results: Sequence[Result]) -> Group:
    """A row for each feature, and a line that sums up."""
    rows = Table(show_edge=False, pad_edge=False)
    for column in ("provider", "model", "feature", "outcome", ""):
        rows.add_column(column)
    for one in results:
        outcome, why = one.verdict.outcome, one.verdict.why
        # Text: what a vendor says must not be taken for markup.
        rows.add_row(one.provider, one.model, Text(one.feature.what), Text(_SHOWN[outcome], _LOOKS[outcome]), Text(why))
    return Group(rows, Text(""), Text(summed_up(results)))


def summed_up(results: Sequence[Result]) -> str:
    """How many of each, and what it took."""
    outcomes: list[str] = [one.verdict.outcome for one in results]
    counts = ", ".join(f"{outcomes.count(outcome)} {shown.lower()}" for outcome, shown in _SHOWN.items())
    taken, given = sum(one.input_tokens for one in results), sum(one.output_tokens for one in results)
    return f"{counts}; {taken} tokens in, {given} out, {sum(one.seconds for one in results):.1f} s"


def to_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [
        {
            "provider": one.provider,
            "model": one.model,
            "feature": one.feature.name,
            "outcome": one.verdict.outcome,
            "why": one.verdict.why,
            "seconds": round(one.seconds, 3),
            "input_tokens": one.input_tokens,
            "output_tokens": one.output_tokens,
        }
        for one in results
    ]
