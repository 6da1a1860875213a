"""From what was measured to the figures that are told, one value for each round in which there was one."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks.measure import Round
from benchmarks.quantiles import spread
from benchmarks.remote.suite import Plan, Rate, Window
from benchmarks.remote.windows import Failed

DIRECT = "upstream alone"
OURS = "mesh"
_TOOLS = ("client", "upstream")
# Share of connections that may fail without a window being worth nothing.
_FAILED = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one system over the rounds.

    Attributes:
        values: of the rounds that had one.
        failures: what went wrong in the others.
    """

    values: Sequence[float] = ()
    failures: Sequence[str] = ()

    @property
    def median(self) -> float | None:
        return spread(self.values)["median"] if self.values else None

    def ratio(self, to: "Figure") -> float | None:
        """Its median in terms of another one's; None where there is no such number."""
        return self.median / to.median if self.median is not None and to.median else None


# By the name of the figure, then by the system.
Figures = Mapping[str, Mapping[str, Figure]]


def cost(told: Round, *, tools: bool = False) -> float:
    """CPU per unit, in µs, of the system with all of its processes, or of the tools."""
    return sum(told.cost(role) for role in told.processes if (role in _TOOLS) == tools)


def figures(windows: Sequence[Window], rates: Sequence[Rate], plan: Plan) -> Figures:
    """All figures of windows and rates. Each window of a round stands beside the direct one of the same round."""
    table: dict[str, dict[str, Figure]] = {}
    for load in dict.fromkeys(one.load for one in windows):
        direct = [one.outcome for one in windows if one.load == load and one.system == DIRECT]
        for system in dict.fromkeys(one.system for one in windows):
            if system == DIRECT:
                continue
            outcomes = [one.outcome for one in windows if one.load == load and one.system == system]
            pairs = [(_sound(one, load.connections), other) for one, other in zip(outcomes, direct, strict=False)]
            for name, read in _readers(load.kind == "requests", load.connections, plan).items():
                table.setdefault(name, {})[system] = _figure(pairs, read)
            _counted(table, f"{load.name}: failed of them", system, outcomes, "failed")
            _counted(table, f"{load.name}: not begun after a minute", system, outcomes, "late")
    for one in rates:
        if one.system != DIRECT:
            kept = table.setdefault(f"tokens/s with a p99 gap ≤ {2 * plan.token_ms:g} ms", {})
            before = kept.get(one.system, Figure())
            kept[one.system] = dataclasses.replace(before, values=[*before.values, one.tokens_per_second])
    return table


def _sound(told: Round | Failed, connections: int) -> Round | Failed:
    """What a window tells of a system that most streams or clients have left is not what they would have cost."""
    if isinstance(told, Round) and told.client["failed"] > _FAILED * connections:
        return Failed(f"{told.client['failed']} of {connections} failed")
    return told


def _counted(
    table: dict[str, dict[str, Figure]], row: str, system: str, outcomes: Sequence[Round | Failed], what: str
) -> None:
    """A row for connections that have come to nothing, where there is any."""
    counts = [float(one.client[what]) for one in outcomes if isinstance(one, Round)]
    if any(counts):
        table.setdefault(row, {})[system] = Figure(counts)


def _figure(pairs: Iterable[tuple[Round | Failed, Round | Failed]], read: Callable[[Round, Round], float]) -> Figure:
    values, failures = [], []
    for told, direct in pairs:
        if isinstance(told, Failed):
            failures.append(told.reason)
        elif not isinstance(direct, Failed):
            values.append(read(told, direct))
    return Figure(values, failures)


def _readers(requests: bool, count: int, plan: Plan) -> dict[str, Callable[[Round, Round], float]]:
    """How each figure is read off a window, and the direct one beside it."""
    if requests:
        at = "1 client" if count == 1 else f"{count} clients"
        return {
            f"CPU per request, {at}, µs": _cost,
            f"added latency p50, {at}, ms": functools.partial(_more, "p50_ms"),
            f"added latency p99, {at}, ms": functools.partial(_more, "p99_ms"),
        }
    return {
        f"CPU per token, {count} streams, µs": _cost,
        f"tokens/s that a core bears by CPU per token, {count} streams": lambda told, _: 1e6 / cost(told),
        f"delivered of those offered, {count} streams, %": lambda told, _: 100 * _rate(told) / plan.offered(count),
        f"p99 gap, {count} streams, ms": lambda told, _: float(told.client["p99_ms"]),
    }


def _cost(told: Round, _: Round) -> float:
    return cost(told)


def _rate(told: Round) -> float:
    return told.units / told.seconds


def _more(quantile: str, told: Round, direct: Round) -> float:
    return float(told.client[quantile]) - float(direct.client[quantile])


def tools(windows: Sequence[Window], rates: Sequence[Rate], plan: Plan) -> Mapping[str, Figure]:
    """What upstream and client do by themselves, without a system between them."""
    alone: dict[str, Figure] = {}
    for load in dict.fromkeys(one.load for one in windows):
        told = [one.outcome for one in windows if one.load == load and one.system == DIRECT]
        rounds = [one for one in told if isinstance(one, Round)]
        of = f"{load.unit}, {load.name}"
        for role in _TOOLS:
            alone[f"{role}, µs of CPU per {of}"] = Figure([one.cost(role) for one in rounds])
        alone[f"{load.unit}s/s, {load.name}"] = Figure([one.units / one.seconds for one in rounds])
        alone[f"p99, {load.name}, ms"] = Figure([float(one.client["p99_ms"]) for one in rounds])
    direct = [one.tokens_per_second for one in rates if one.system == DIRECT]
    if direct:
        alone[f"highest tokens/s with a p99 gap ≤ {2 * plan.token_ms:g} ms"] = Figure(direct)
    return alone
