"""Peak EWMA: two drawn at random, the one with less latency times load."""

import dataclasses
import math
import random
from collections.abc import Sequence
from typing import Literal

from services.router.policies.baselines.p2c import pair
from services.router.policies.strategy import Score, Strategy
from services.router.request import Request
from services.router.target import Target

# Nanoseconds there, and never reached by a latency; the unit does not matter.
_PENALTY = float((2**63 - 1) >> 16)


@dataclasses.dataclass(slots=True)
class PeakMean:
    """A mean of latencies that jumps to a peak and decays with time since it was last seen.

    Attributes:
        value: seconds, as of `at`.
        at: when it was last observed or read.
    """

    value: float = 0.0
    at: float = 0.0

    def observe(self, seconds: float, now: float, decay_seconds: float) -> None:
        """A latency was seen. A reading is one of 0 s, so that time alone lets the mean fall."""
        keep = self._kept(now, decay_seconds)
        self.value = seconds if seconds > self.value else self.value * keep + seconds * (1 - keep)
        self.at = now

    def seen(self, now: float, decay_seconds: float) -> float:
        """What a reading would leave, without making one."""
        return self.value * self._kept(now, decay_seconds)

    def _kept(self, now: float, decay_seconds: float) -> float:
        return math.exp(-max(0.0, now - self.at) / decay_seconds)


class PeakEwma(Strategy):
    """Of two drawn at random the one with the lower mean latency x (generations in flight + 1).

    Rule: twitter/finagle, finagle-core/.../loadbalancer/PeakEwma.scala (read). Reading a mean decays it, a latency
    above it replaces it, one below is averaged in by the time since it was last touched; a target without history that
    has a first request out costs a penalty beyond any latency. Failures count as latencies. Default decay: 10 s
    (Finagle's is unverified, linkerd's as in its load biaser). linkerd/linkerd2-proxy, linkerd/ewma/src/lib.rs (read)
    has the same mean, but compares a peak with the decayed one; linkerd measures until the first data of a response
    (unverified): `until="first_content"`.

    Args:
        decay_seconds: time in which a mean falls to 1/e.
        until: what a latency is: of the whole answer (Finagle), or until its first content.
    """

    name = "peak_ewma"

    def __init__(self, *, decay_seconds: float = 10.0, until: Literal["end", "first_content"] = "end") -> None:
        self._decay = decay_seconds
        self._until = until
        self._means: dict[int, PeakMean] = {}

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """The cheaper of two."""
        if len(targets) == 1:
            return targets[0]
        one, other = pair(targets, rng)
        return one if self._read(one, now) < self._read(other, now) else other

    def score(self, request: Request, target: Target, now: float) -> Score:
        """Its cost as a reading would find it."""
        mean = self._mean(target, now).seen(now, self._decay)
        return Score(_cost(mean, target.load), {"mean_seconds": mean, "generations": target.load})

    def on_first_content(self, request: Request, target: Target, seconds: float, now: float) -> None:
        """A latency, where those until the first content count."""
        if self._until == "first_content":
            self._learn(target, seconds, now)

    def on_ended(self, request: Request, target: Target, seconds: float, now: float, *, failed: bool) -> None:
        """A latency, where those of whole answers count."""
        if self._until == "end":
            self._learn(target, seconds, now)

    def on_reset(self, target: Target) -> None:
        """Its history is another process's."""
        self._means.pop(target.position, None)

    def _read(self, target: Target, now: float) -> float:
        mean = self._mean(target, now)
        mean.observe(0.0, now, self._decay)
        return _cost(mean.value, target.load)

    def _learn(self, target: Target, seconds: float, now: float) -> None:
        mean = self._means[target.position] = self._mean(target, now)
        mean.observe(seconds, now, self._decay)

    def _mean(self, target: Target, now: float) -> PeakMean:
        return self._means.get(target.position) or PeakMean(at=now)


def _cost(mean: float, load: int) -> float:
    return _PENALTY + load if mean == 0.0 and load else mean * (load + 1)
