"""`python -m benchmarks.decisions`: CPU that a placement costs the decision core, by number of workers and strategy.

The core alone, without gRPC: an ask, its first content and its outcome, in batches, with several generations at each
worker. Prompts have 24 blocks: a beginning that all share, and conversations that grow. Workers report in between,
which is not counted.
"""

import argparse
import dataclasses
import itertools
import json
import os
import pathlib
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from google.rpc import status_pb2
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hybridinference.router.v1 import placement_pb2 as placement

from benchmarks import report
from benchmarks.calibration import calibrate
from benchmarks.quantiles import spread
from services.chassis.deadline import to_duration
from services.config.mesh import MeshConfig
from services.router.decider import Decider
from services.router.observer import NullObserver
from services.router.policies.baselines.table import BASELINES, baseline
from services.router.policies.table import new_strategy
from services.router.roster import Roster

_RESULTS = pathlib.Path(__file__).parent / "results"
STRATEGIES = ("round_robin", "weighted", "least_loaded", "cost", "latency", "adaptive")
# What a worker can run at once, and how much of that is running.
_CAPACITY = 32
_RUNNING = 8
_BATCH = 32
_BLOCKS = 24
_SHARED_BLOCKS = 4
_BLOCK_TOKENS = 64
_STEPS = ("ask", "first content", "outcome")


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What a placement costs, in µs of CPU: a figure for each round, by step."""

    strategy: str
    workers: int
    steps: dict[str, Sequence[float]]

    def total(self) -> list[float]:
        """All steps of a placement."""
        return [sum(one) for one in zip(*self.steps.values(), strict=True)]


class Core:
    """A decision core with so many workers, and a gateway that keeps them busy."""

    def __init__(self, strategy: str, workers: int) -> None:
        known = strategy not in BASELINES
        config = MeshConfig.model_validate(
            {
                "providers": {"main": {"kind": "echo", "models": ["pm"], "workers": workers}},
                "models": [
                    {
                        "name": "m",
                        "strategy": strategy if known else "least_loaded",
                        "routes": [{"provider": "main", "price": {"input": 1.0, "output": 2.0}}],
                    }
                ],
            }
        )
        chance, ids = random.Random(1), itertools.count()
        make = new_strategy if known else lambda _: baseline(strategy)
        self._roster = Roster(config, NullObserver(), new_strategy=make)
        self._decider = Decider(
            self._roster,
            config.router.retry,
            rng=chance,
            new_id=lambda: f"attempt-{next(ids)}",
            observer=NullObserver(),
        )
        self._stream = self._decider.on_stream("gateway", ())
        self._prompts = _prompts(chance, workers)
        self._running: list[placement.Placement] = []
        self._now, self._sequence = 1000.0, 0
        self.report()
        for _ in range(workers * _RUNNING // _BATCH):
            self._running += self.ask()[1]
        self.report()

    @property
    def strategy(self) -> str:
        """The strategy that chooses, which tells whether there is one of the name."""
        return self._roster.models["m"].strategy.name

    def report(self) -> None:
        """Every worker reports what runs there."""
        self._sequence += 1
        for name, worker in self._roster.workers.items():
            status = worker_status.WorkerStatus(
                state=worker_status.WORKER_STATE_SERVING,
                epoch=1,
                sequence=self._sequence,
                running=worker.leases,
                capacity=_CAPACITY,
                models=[
                    worker_status.WorkerModel(
                        name="pm", capabilities=[model.CAPABILITY_CHAT, model.CAPABILITY_TOOLS], context_tokens=32_768
                    )
                ],
            )
            self._roster.on_status(name, status, self._now)

    def ask(self) -> tuple[int, list[placement.Placement]]:
        """A batch of asks. Returns the CPU that they took, in ns, and where they went."""
        asks = [self._asked() for _ in range(_BATCH)]
        begun = time.thread_time_ns()
        answers = [self._decider.on_ask(self._stream, ask, self._now) for ask in asks]
        taken = time.thread_time_ns() - begun
        placed = [answer for answer in answers if isinstance(answer, placement.Placement)]
        if len(placed) < _BATCH:
            raise RuntimeError("a request was refused, though every worker has room")
        return taken, placed

    def turn(self) -> tuple[int, int, int]:
        """A batch begins, has content, and another one ends. Returns the CPU of each step, in ns."""
        asked, placed = self.ask()
        self._running += placed
        self._now += 0.02
        contents = [
            placement.FirstContent(attempt_id=one.attempt_id, latency=to_duration(0.1 + 0.01 * index))
            for index, one in enumerate(placed)
        ]
        begun = time.thread_time_ns()
        for content in contents:
            self._decider.on_first_content(self._stream, content, self._now)
        begun_to_answer = time.thread_time_ns() - begun
        ended, self._running = self._running[:_BATCH], self._running[_BATCH:]
        outcomes = [
            placement.AttemptOutcome(
                attempt_id=one.attempt_id,
                status=status_pb2.Status(),
                committed=True,
                duration=to_duration(1.0),
                wanted=True,
            )
            for one in ended
        ]
        for outcome in outcomes:
            outcome.usage.input_tokens, outcome.usage.output_tokens = _BLOCKS * _BLOCK_TOKENS, 100
        begun = time.thread_time_ns()
        for outcome in outcomes:
            self._decider.on_outcome(self._stream, outcome, self._now)
        return asked, begun_to_answer, time.thread_time_ns() - begun

    def _asked(self) -> placement.PlacementAsk:
        blocks = next(self._prompts)
        self._sequence += 1
        return placement.PlacementAsk(
            generation_id=f"generation-{self._sequence}",
            model="m",
            input_tokens=len(blocks) * _BLOCK_TOKENS + 10,
            max_output_tokens=500,
            capabilities=[model.CAPABILITY_CHAT],
            time_left=to_duration(60),
            prefix_hashes=blocks,
            block_tokens=_BLOCK_TOKENS,
        )


def _prompts(chance: random.Random, workers: int) -> Iterator[list[int]]:
    """Blocks of prompts: the same first four, then those of one of many conversations, whose last turns are new."""
    shared = [chance.getrandbits(64) for _ in range(_SHARED_BLOCKS)]
    conversations = [[*shared] for _ in range(4 * workers)]
    while True:
        index = chance.randrange(len(conversations))
        blocks = conversations[index]
        if len(blocks) >= _BLOCKS:
            blocks = conversations[index] = blocks[: _BLOCKS // 2]
        blocks += [chance.getrandbits(64) for _ in range(_BLOCKS - len(blocks))]
        yield list(blocks)


def measure(strategy: str, workers: int, *, rounds: int, turns: int) -> Cost | None:
    """The cost of a placement; None where there is no strategy of that name."""
    core = Core(strategy, workers)
    if core.strategy != strategy:
        return None
    steps: dict[str, list[float]] = {step: [] for step in _STEPS}
    for number in range(rounds + 1):
        taken = [core.turn() for _ in range(turns)]
        core.report()
        if number:  # the first one warms up
            for step, ns in zip(_STEPS, zip(*taken, strict=True), strict=True):
                steps[step].append(sum(ns) / turns / _BATCH / 1e3)
    return Cost(strategy, workers, dict(steps))


def table(costs: Sequence[Cost]) -> str:
    """A row for each strategy and number of workers."""
    lines = ["| strategy | workers | " + " | ".join(f"{step}, µs" for step in (*_STEPS, "all")) + " |"]
    lines.append("|---|---:|" + "---:|" * (len(_STEPS) + 1))
    for cost in costs:
        figures = [spread(values) for values in (*cost.steps.values(), cost.total())]
        cells = " | ".join(f"{one['median']:.1f} ({one['min']:.1f}–{one['max']:.1f})" for one in figures)
        lines.append(f"| {cost.strategy} | {cost.workers} | {cells} |")
    return "\n".join(lines)


def content(costs: Sequence[Cost], calibration: Callable[[], float]) -> dict[str, Any]:
    """What is kept of a measurement. A ratio is a placement's CPU as a share of the fixed piece's, in millionths."""
    piece = calibration()
    return {
        "command": " ".join(["python -m benchmarks.decisions", *sys.argv[1:]]),
        "machine": report.machine(),
        "versions": report.versions(),
        "calibration_ms": piece,
        "load_average": os.getloadavg()[0],
        "measured": [
            {
                "strategy": cost.strategy,
                "workers": cost.workers,
                "us": {step: spread(values) for step, values in cost.steps.items()},
                "all_us": spread(cost.total()),
                "ratio_ppm": spread([taken / piece * 1e3 for taken in cost.total()]),
            }
            for cost in costs
        ],
    }


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions", description=__doc__)
    parser.add_argument("--workers", type=int, nargs="*", default=[8, 64, 256], help="how many workers there are")
    parser.add_argument("--strategies", nargs="*", default=[*STRATEGIES, *BASELINES], help="who chooses")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each")
    parser.add_argument("--turns", type=int, default=20, help=f"batches of {_BATCH} placements in each")
    parser.add_argument("--name", help="keep the results under this name")
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS, help="directory of kept results")
    arguments = parser.parse_args()
    costs = [
        measured
        for workers in arguments.workers
        for strategy in arguments.strategies
        if (measured := measure(strategy, workers, rounds=arguments.rounds, turns=arguments.turns)) is not None
    ]
    print(table(costs))
    if arguments.name:
        text = json.dumps(content(costs, calibrate), indent=1, ensure_ascii=False) + "\n"
        print(report.keep(arguments.results, arguments.name, "json", text))


if __name__ == "__main__":
    main()
