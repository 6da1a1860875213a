"""`python -m benchmarks.placements`: how long a placement takes, and how many a router makes in a second.

A real router process with a core of its own, asked through its Place stream as gateways do: what they have to say while
a message is on its way goes together into the next one. Every placement is an ask, its first content and its outcome.
Workers only report.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

import uvloop

from benchmarks import report
from benchmarks.calibration import calibrate
from benchmarks.cpu import sample
from benchmarks.quantiles import quantile, spread
from benchmarks.router import Gateway, gateways, reporting, routing
from benchmarks.system import free_port, temporary_home

_RESULTS = pathlib.Path(__file__).parent / "results"
_WARM_UP = 100
_PAUSE_SECONDS = 0.002
_RUN_SECONDS = 0.02
_GATEWAYS = 2


@dataclasses.dataclass(slots=True)
class Window:
    """What happened in a window.

    Attributes:
        running: generations at once; 1 is one after the other.
        seconds: each placement's way there and back.
        span: the window's length.
        router_ns: the router's CPU, all threads.
        client_ns: the client's.
        messages: what the gateways wrote.
    """

    running: int
    seconds: list[float] = dataclasses.field(default_factory=list)
    span: float = 0.0
    router_ns: int = 0
    client_ns: int = 0
    messages: int = 0

    def figures(self) -> dict[str, float]:
        """Rate, latency, and the router's CPU for a placement."""
        ordered, count = sorted(self.seconds), len(self.seconds)
        return {
            "placements_per_second": count / self.span,
            "p50_ms": quantile(ordered, 0.5) * 1e3,
            "p99_ms": quantile(ordered, 0.99) * 1e3,
            "router_us": self.router_ns / count / 1e3,
            "router_cores": self.router_ns / 1e9 / self.span,
            "client_cores": self.client_ns / 1e9 / self.span,
            "commands_per_message": 3 * count / self.messages,
        }


async def _one(gateway: Gateway, run_seconds: float) -> float:
    """A generation, from ask to end. Returns the seconds that its placement took."""
    begun = time.perf_counter()
    placed = await gateway.place()
    taken = time.perf_counter() - begun
    gateway.begins(placed)
    await asyncio.sleep(run_seconds)
    gateway.ends(placed)
    return taken


async def one_by_one(gateway: Gateway, pid: int, times: int) -> Window:
    """Placements one after the other, with pauses."""
    for _ in range(_WARM_UP):
        await _one(gateway, 0.0)
    return await _watched(Window(1), [gateway], pid, _series(gateway, times))


async def _series(gateway: Gateway, times: int) -> list[float]:
    taken = []
    for _ in range(times):
        taken.append(await _one(gateway, _PAUSE_SECONDS))
        await asyncio.sleep(_PAUSE_SECONDS)
    return taken


async def at_once(up: Sequence[Gateway], pid: int, running: int, seconds: float) -> Window:
    """So many generations at once, each followed by another, for so long."""
    await _crowd(up, running, 1.0)
    return await _watched(Window(running), up, pid, _crowd(up, running, seconds))


async def _crowd(up: Sequence[Gateway], running: int, seconds: float) -> list[float]:
    ends = time.perf_counter() + seconds

    async def follow(gateway: Gateway) -> list[float]:
        taken = []
        while time.perf_counter() < ends:
            taken.append(await _one(gateway, _RUN_SECONDS))
        return taken

    kept = await asyncio.gather(*[follow(up[number % len(up)]) for number in range(running)])
    return [taken for one in kept for taken in one]


async def _watched(window: Window, up: Sequence[Gateway], pid: int, load: Any) -> Window:
    processes = {"router": [pid], "client": [os.getpid()]}
    before, messages, begun = sample(processes), sum(gateway.messages for gateway in up), time.perf_counter()
    window.seconds = await load
    window.span = time.perf_counter() - begun
    used = sample(processes)
    window.router_ns = (used["router"] - before["router"]).ns
    window.client_ns = (used["client"] - before["client"]).ns
    window.messages = sum(gateway.messages for gateway in up) - messages
    return window


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """All rounds of one load over one transport."""

    transport: str
    running: int
    windows: Sequence[Window]

    def figures(self) -> dict[str, dict[str, float]]:
        """Each figure over the rounds: median, least, greatest."""
        figures = [window.figures() for window in self.windows]
        return {name: spread([one[name] for one in figures]) for name in figures[0]}


async def measure(transport: str, arguments: argparse.Namespace) -> list[Case]:
    """All loads over one transport, by turns."""
    with temporary_home() as home:
        listen = f"unix:{home}/router.sock" if transport == "unix" else f"127.0.0.1:{free_port()}"
        async with reporting(home, arguments.workers) as addresses:
            with routing(home, addresses, listen=listen, strategy=arguments.strategy) as pid:
                async with gateways(listen, _GATEWAYS) as up:
                    windows: dict[int, list[Window]] = {running: [] for running in (1, *arguments.running)}
                    for _ in range(arguments.rounds):
                        windows[1].append(await one_by_one(up[0], pid, arguments.times))
                        for running in arguments.running:
                            windows[running].append(await at_once(up, pid, running, arguments.seconds))
    return [Case(transport, running, taken) for running, taken in windows.items()]


def table(cases: Sequence[Case]) -> str:
    """A row for each transport and load."""
    names = {
        "placements_per_second": "placements/s",
        "p50_ms": "p50, ms",
        "p99_ms": "p99, ms",
        "router_us": "router, µs",
        "router_cores": "router, cores",
        "client_cores": "client, cores",
        "commands_per_message": "commands/message",
    }
    lines = ["| transport | at once | " + " | ".join(names.values()) + " |", "|---|---:|" + "---:|" * len(names)]
    for case in cases:
        figures = case.figures()
        cells = [f"{one['median']:.4g} ({one['min']:.4g}–{one['max']:.4g})" for one in map(figures.__getitem__, names)]
        lines.append(f"| {case.transport} | {case.running} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.placements", description=__doc__)
    parser.add_argument("--workers", type=int, default=8, help="how many workers there are")
    parser.add_argument("--strategy", default="least_loaded", help="who chooses")
    parser.add_argument("--running", type=int, nargs="*", default=[32, 256], help="generations at once")
    parser.add_argument("--times", type=int, default=300, help="placements one after the other")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a window with more")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each")
    parser.add_argument("--name", help="keep the results under this name")
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS, help="directory of kept results")
    arguments = parser.parse_args()
    piece = calibrate()
    cases = [case for transport in ("unix", "tcp") for case in uvloop.run(measure(transport, arguments))]
    print(table(cases))
    if arguments.name:
        content = {
            "command": " ".join(["python -m benchmarks.placements", *sys.argv[1:]]),
            "machine": report.machine(),
            "versions": report.versions(),
            "calibration_ms": piece,
            "load_average": os.getloadavg()[0],
            "measured": [
                {
                    "transport": case.transport,
                    "running": case.running,
                    "figures": case.figures(),
                    # The router's CPU for a placement, as a share of the fixed piece's, in millionths.
                    "ratio_ppm": case.figures()["router_us"]["median"] / piece * 1e3,
                }
                for case in cases
            ],
        }
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        print(report.keep(arguments.results, arguments.name, "json", text))


if __name__ == "__main__":
    main()
