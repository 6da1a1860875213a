"""A few plots of what was found. Needs matplotlib, which is in the development environment."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]


def draw(found: Mapping[str, Any], folder: pathlib.Path) -> list[pathlib.Path]:
    """Draw what the parts that are there can show, as SVG. Equal results give equal files."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {"capacity": _capacity, "loads": _loads, "vendors": _vendors}
    written = []
    with mpl.rc_context({"svg.hashsalt": "routing", "font.size": 9}):
        for part, figure in drawn.items():
            if part in found:
                path = folder / f"{part}.svg"
                figure(found[part]["found"]).savefig(path, metadata={"Date": None}, bbox_inches="tight")
                written.append(path)
    return written


def _capacity(rows: Rows) -> Figure:
    """For each case a mark for every rule: its capacity by that of the best other."""
    figure = Figure(figsize=(7, 3.2))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        for policy, told in row["policies"].items():
            times = told["times_best_other"]
            if policy == "adaptive":
                error = [[times["value"] - times["low"]], [times["high"] - times["value"]]]
                axes.errorbar(times["value"], place, xerr=error, fmt="o", color="tab:red", capsize=3, zorder=3)
            else:
                axes.plot(times["value"], place, "|", color="tab:gray", markersize=12)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{row['case']} ({row['best_other']})" for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("capacity by that of the best other; red: adaptive, 95 %; gray: all others")
    return figure


def _loads(rows: Rows) -> Figure:
    """For each case a line: our good answers by those of the best other, over the load."""
    figure = Figure(figsize=(6, 3.2))
    axes = figure.subplots()
    for case in dict.fromkeys(row["case"] for row in rows):
        mine = [row for row in rows if row["case"] == case]
        times = [row["times_best_other"] for row in mine]
        error = [[one["value"] - one["low"] for one in times], [one["high"] - one["value"] for one in times]]
        axes.errorbar([row["load"] for row in mine], [one["value"] for one in times], yerr=error, label=case, capsize=2)
    axes.axhline(0.98, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlabel("load, as a share of the best other's capacity")
    axes.set_ylabel("good answers by the best other's")
    axes.legend(fontsize=7, loc="upper left")
    return figure


def _vendors(rows: Rows) -> Figure:
    """For each case a cloud: what every setting costs and attains."""
    figure = Figure(figsize=(4 * len(rows), 3.2))
    kinds = (
        ("static, least loaded", "within=least_loaded", "tab:gray", "x"),
        ("static, LMetric", "within=lmetric", "tab:blue", "+"),
        ("adaptive", "adaptive", "tab:red", "o"),
    )
    for axes, row in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows, strict=True):
        for label, mark, colour, marker in kinds:
            mine = [told for policy, told in row["settings"].items() if mark in policy]
            costs, good = ([told[name]["value"] for told in mine] for name in ("cost_usd", "good"))
            axes.scatter(costs, [100 * share for share in good], label=label, color=colour, marker=marker, s=18)
        axes.set_title(row["case"], fontsize=9)
        axes.set_xlabel("USD a run")
        axes.set_ylabel("good answers, %")
        axes.set_ylim(bottom=80)
        axes.legend(fontsize=7, loc="lower right")
    return figure
