"""Candidates of a decision, as a table for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from services.cli.ledger import printable


def table(candidates: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each candidate, as the OpenAI face and the ledger have them.

    The ledger says `provider_model` where the face says `model`, and a worker is told only where it is known.
    """
    view = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("worker", "provider", "model", "role"):
        view.add_column(name, no_wrap=True)
    view.add_column("score", justify="right", no_wrap=True)
    view.add_column("terms, or what rules it out", overflow="fold")
    for one in candidates:
        out = one.get("ruled_out_by")
        view.add_row(
            *(_cell(one.get(name)) for name in ("worker", "provider")),
            _cell(one.get("model") or one.get("provider_model")),
            _cell(one.get("role")),
            "-" if one.get("score") is None else number(one["score"]),
            f"[yellow]{_cell(out)}[/]" if out else escape(terms(one.get("terms") or {})),
        )
    return view


def terms(named: Mapping[str, float | None]) -> str:
    """Terms by name, in words."""
    return ", ".join(f"{name} {'-' if value is None else number(value)}" for name, value in sorted(named.items()))


def ruled_out(counts: Mapping[str, int]) -> str:
    """How many each filter ruled out, in words; most first."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def number(value: float) -> str:
    """A number as short as four digits allow; whole ones whole."""
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e6 else f"{value:.4g}"


def _cell(value: Any) -> str:
    return escape(printable(str(value))) if value else "-"
