"""A run's result: a row for each request, and the whole in numbers."""

import collections
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson

from services.router.simulator import fairness
from services.router.simulator.call import COMPLETED
from services.router.simulator.fairness import Tenancy
from services.router.simulator.quantiles import Quantiles, quantiles
from services.router.simulator.rows import Row


class Summary(NamedTuple):
    """A run in numbers, without its warm-up.

    Attributes:
        requests: that came.
        good_share: of all that came.
        completed_share: of all that came.
        hit_share: of the prompt tokens of completed requests, those that were found cached.
        cost_usd: of all attempts.
        cost_usd_per_good: of all attempts, for each good request; infinite where none was good.
        amplification: attempts for each request.
        jain: Jain's index of how much of its due each key got; 1 is fair (services.router.simulator.fairness).
        keys: what each key asked for and got.
        outcomes: how often each came.
        workers: requests by the worker of their last attempt.
    """

    requests: int
    good_share: float
    completed_share: float
    ttft: Quantiles
    tpot: Quantiles
    e2e: Quantiles
    hit_share: float
    cost_usd: float
    cost_usd_per_good: float
    amplification: float
    jain: float
    keys: Mapping[str, Tenancy]
    outcomes: Mapping[str, int]
    workers: Mapping[str, int]


class Result(NamedTuple):
    """A run: which it was, and its rows in the order the requests came."""

    scenario: str
    policy: str
    seed: int
    rows: tuple[Row, ...]
    warmup_share: float
    weights: Mapping[str, float]

    @property
    def counted(self) -> Sequence[Row]:
        """The rows that count: all but the warm-up's."""
        return self.rows[int(len(self.rows) * self.warmup_share) :]

    def to_bytes(self) -> bytes:
        """The rows as JSON lines. A run that is repeated has the same bytes."""
        return b"\n".join(orjson.dumps(row._asdict()) for row in self.rows)

    def summary(self) -> Summary:
        """The run in numbers."""
        return summarise(self.counted, self.weights)


def summarise(rows: Sequence[Row], weights: Mapping[str, float]) -> Summary:
    """Rows in numbers, with the keys' weights; one that has none has 1. There must be at least one row."""
    keys = fairness.tenancies(rows, weights)
    completed = [row for row in rows if row.outcome == COMPLETED]
    good = sum(row.good for row in rows)
    cost = sum(row.cost_nano_usd for row in rows) / 1e9
    return Summary(
        requests=len(rows),
        good_share=good / len(rows),
        completed_share=len(completed) / len(rows),
        ttft=quantiles([row.ttft for row in completed if row.ttft is not None]),
        tpot=quantiles([row.tpot for row in completed if row.tpot is not None]),
        e2e=quantiles([row.e2e for row in completed]),
        hit_share=sum(row.hit_tokens for row in completed) / max(1, sum(row.input_tokens for row in completed)),
        cost_usd=cost,
        cost_usd_per_good=cost / good if good else math.inf,
        amplification=sum(row.attempts for row in rows) / len(rows),
        jain=fairness.jain(keys.values()),
        keys=keys,
        outcomes=dict(sorted(collections.Counter(row.outcome for row in rows).items())),
        workers=dict(sorted(collections.Counter(row.worker for row in rows if row.worker).items())),
    )
