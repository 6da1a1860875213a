"""What a strategy is given, and what it answers."""

import math
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.router.request import Request
from services.router.target import Target


class Score(NamedTuple):
    """How a strategy sees one target: the lowest value is chosen. `terms` are its parts, with units in the names."""

    value: float
    terms: Mapping[str, float]


class Strategy:
    """Chooses. What only it learns it holds itself, by the targets' positions; all else it reads from them.

    A strategy serves one model. It is told of all that happens there, and uses what it likes of it.
    """

    name = ""
    # The best of the others when a target was last chosen, where that was seen in passing; only for telling of it.
    runner_up: Target | None = None

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """One of the targets, of which there is at least one. They come in an order that never varies.

        Nothing that a later choice depends on changes here, but in `on_placed`: what is chosen may only be asked about.
        """
        raise NotImplementedError

    def score(self, request: Request, target: Target, now: float) -> Score | None:
        """What `choose` compares; None where it does not compare numbers. Changes nothing."""
        return None

    def on_placed(self, request: Request, target: Target, now: float) -> None:
        """An attempt was placed there."""

    def on_first_content(self, request: Request, target: Target, seconds: float, now: float) -> None:
        """An attempt there has begun to answer, so long after its start."""

    def on_ended(self, request: Request, target: Target, seconds: float, now: float, *, failed: bool) -> None:
        """An attempt there has ended, so long after its start. `failed`: by the worker's fault."""

    def on_vanished(self, request: Request, target: Target) -> None:
        """An attempt there is gone without an end that anybody saw: nothing is to be learned of it."""

    def on_reset(self, target: Target) -> None:
        """A new process answers to the worker's name: what was learned of the old one does not hold."""


def best_other(targets: Sequence[Target], values: Sequence[float], chosen: Target) -> Target | None:
    """The target with the least value but for the chosen one; None where there is no other."""
    if len(targets) < 2:
        return None
    rest = list(values)
    rest[targets.index(chosen)] = math.inf
    return targets[rest.index(min(rest))]


def longest_unused(targets: Sequence[Target], rng: random.Random) -> Target:
    """The target whose turn is longest ago; chance decides between those that never had one."""
    turns = [target.turn for target in targets]
    oldest = min(turns)
    unused = [target for target, turn in zip(targets, turns, strict=True) if turn == oldest]
    return unused[0] if len(unused) == 1 else unused[rng.randrange(len(unused))]
