"""Prequal: a pool of asynchronous probes; latency among those that are not loaded, else load."""

import collections
import random
import statistics
from collections.abc import Sequence
from typing import Literal

from services.router.policies.baselines.probes import Probe, ProbePool, RecentLoads
from services.router.policies.strategy import Strategy
from services.router.request import Request
from services.router.target import Target

# Latencies that a target remembers, and how many of those nearest in load its estimate is the median of.
_REMEMBERED = 64
_NEAREST = 8


class Prequal(Strategy):
    """The hot-cold lexicographic rule over a pool of probes.

    Rule: Wydrowski et al., "Load is not what you should balance: Introducing Prequal", NSDI 2024 (abstract read).
    Details and constants from prequal-rs/prequal, crates/prequal-core (read), which takes the paper's except for
    `hot_quantile`, 0.6 there; its `history` of 64 and bound of 16 on reuse are its own. The reuse budget is the paper's
    max(1, (1 + d) / ((1 - m/n) probes - removes)) as cited second-hand (unverified); prequal-rs has 1 + d / (...).
    Where the divisor is not positive, as with fewer targets than pool places, the bound applies.

    Every request asks `probes` targets, drawn at random, after it has chosen: answers are for those that follow. A
    probe tells the generations in flight and the median latency of the recent ones that arrived at about that load; how
    many are looked at is ours (the paper's estimator is unverified). A failure drops the probe of its target.

    Args:
        pool_size: most probes kept.
        probes: targets asked by each request; a fraction is spread over requests.
        removes: probes dropped by each request, in turn the oldest and the worst.
        age_seconds: how long a probe is good.
        delta: how much more reuse than the balance of probes needs.
        most_uses: how often one probe may be used at most.
        hot_quantile: a probe above this quantile of recent loads is hot.
        history: number of recent loads.
        until: what a latency is: of the whole answer, or until its first content.
    """

    name = "prequal"

    def __init__(
        self,
        *,
        pool_size: int = 16,
        probes: float = 3.0,
        removes: float = 1.0,
        age_seconds: float = 1.0,
        delta: float = 1.0,
        most_uses: int = 16,
        hot_quantile: float = 2**-0.25,
        history: int = 64,
        until: Literal["end", "first_content"] = "end",
    ) -> None:
        self._pool_size, self._probes, self._removes = pool_size, probes, removes
        self._delta, self._most_uses, self._hot_quantile, self._until = delta, most_uses, hot_quantile, until
        self._pool = ProbePool(pool_size, age_seconds)
        self._loads = RecentLoads(history)
        self._due_probes = self._due_removes = 0.0
        self._oldest_next = True
        self._arrived: dict[tuple[str, int], int] = {}  # in flight when a generation came, by where
        self._latencies: dict[int, collections.deque[tuple[int, float]]] = {}

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """By the best probe, or by chance where there are fewer than two."""
        self._pool.expire(now)
        limit = self._loads.quantile(self._hot_quantile)
        by_position = {target.position: target for target in targets}
        probe = self._pool.best(limit, by_position)
        if probe is None:
            chosen = targets[rng.randrange(len(targets))]
        else:
            chosen = by_position[probe.position]
            self._pool.use(probe)
        self._remove(limit)
        self._ask(targets, chosen, now, rng)
        return chosen

    def on_placed(self, request: Request, target: Target, now: float) -> None:
        """It arrives among so many."""
        self._arrived[request.ask.generation_id, target.position] = target.load

    def on_first_content(self, request: Request, target: Target, seconds: float, now: float) -> None:
        """A latency, where those until the first content count."""
        if self._until == "first_content":
            self._learn(request, target, seconds)

    def on_ended(self, request: Request, target: Target, seconds: float, now: float, *, failed: bool) -> None:
        """A latency, where those of whole answers count; a failure takes no time and says nothing of it."""
        if failed:
            self._pool.forget(target.position)
        elif self._until == "end":
            self._learn(request, target, seconds)
        self._arrived.pop((request.ask.generation_id, target.position), None)

    def on_vanished(self, request: Request, target: Target) -> None:
        """It will not end."""
        self._arrived.pop((request.ask.generation_id, target.position), None)

    def on_reset(self, target: Target) -> None:
        """What was known is of another process."""
        self._pool.forget(target.position)
        self._latencies.pop(target.position, None)
        self._arrived = {key: load for key, load in self._arrived.items() if key[1] != target.position}

    def expected_seconds(self, target: Target) -> float:
        """The latency that the target expects at its load; 0 where it has served nothing."""
        seen = self._latencies.get(target.position)
        if not seen:
            return 0.0
        load = target.load + 1
        near = sorted(seen, key=lambda one: abs(one[0] - load))[:_NEAREST]
        return statistics.median(seconds for _, seconds in near)

    def _learn(self, request: Request, target: Target, seconds: float) -> None:
        load = self._arrived.get((request.ask.generation_id, target.position))
        if load is not None:
            seen = self._latencies.setdefault(target.position, collections.deque(maxlen=_REMEMBERED))
            seen.appendleft((load, seconds))  # of equally near ones the newest count

    def _ask(self, targets: Sequence[Target], chosen: Target, now: float, rng: random.Random) -> None:
        self._due_probes += self._probes
        count = int(self._due_probes)
        self._due_probes -= count
        for target in rng.sample(targets, min(count, len(targets))):
            in_flight = target.load + (target is chosen)
            self._loads.add(in_flight)
            uses = self._uses(len(targets), rng)
            self._pool.add(Probe(target.position, now, in_flight, self.expected_seconds(target), uses))

    def _remove(self, limit: int | None) -> None:
        self._due_removes += self._removes
        count = int(self._due_removes)
        self._due_removes -= count
        for _ in range(count):
            if self._oldest_next:
                self._pool.remove_oldest()
            else:
                self._pool.remove_worst(limit)
            self._oldest_next = not self._oldest_next

    def _uses(self, targets: int, rng: random.Random) -> int:
        spare = (1 - self._pool_size / targets) * self._probes - self._removes
        budget = max(1.0, min((1 + self._delta) / spare, self._most_uses)) if spare > 0 else self._most_uses
        whole = int(budget)
        return whole + (rng.random() < budget - whole)
