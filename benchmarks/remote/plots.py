"""Bars of the figures, by system. Needs matplotlib, which is in the development environment."""

import pathlib
from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from benchmarks.quantiles import spread
from benchmarks.remote.figures import OURS, Figure, Figures

_COLUMNS = 3


def draw(figures: Figures, systems: Sequence[str], path: pathlib.Path) -> pathlib.Path:
    """One panel for each figure, as SVG. Equal figures give equal files."""
    rows = -(-len(figures) // _COLUMNS)
    with mpl.rc_context({"svg.hashsalt": "remote", "font.size": 8}):
        drawing = Drawing(figsize=(4.2 * _COLUMNS, 0.5 * rows * (len(systems) + 1)), layout="constrained")
        panels = list(drawing.subplots(rows, _COLUMNS, squeeze=False).flat)
        for axes, (name, row) in zip(panels, figures.items(), strict=False):
            _bars(axes, name, row, systems)
        for axes in panels[len(figures) :]:
            axes.set_visible(False)
        drawing.savefig(path, metadata={"Date": None})
    return path


def _bars(axes: Axes, name: str, row: Mapping[str, Figure], systems: Sequence[str]) -> None:
    for place, system in enumerate(systems):
        values = row.get(system, Figure()).values
        if not values:
            axes.annotate(" failed" if row.get(system, Figure()).failures else " –", (0, place), va="center")
            continue
        told = spread(values)
        error = [[told["median"] - told["min"]], [told["max"] - told["median"]]]
        colour = "tab:red" if system == OURS else "tab:gray"
        axes.barh(place, told["median"], xerr=error, color=colour, capsize=2)
    axes.set_yticks(range(len(systems)), systems)
    axes.invert_yaxis()
    axes.set_title(name)
