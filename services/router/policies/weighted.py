"""Everyone in turn, by weight."""

import random
from collections.abc import Sequence

from services.router.policies.strategy import Score, Strategy, best_other, longest_unused
from services.router.request import Request
from services.router.target import Target

_Key = tuple[str, str, str]


class Weighted(Strategy):
    """The route whose next turn comes first; each turn puts it off by 1 / weight. On a route, its workers in turn.

    Turns are counted on one clock that only placements move, as in start-time fair queueing: a route that was away has
    no turns to catch up on when it returns. What is compared is the middle of a turn, so that the turns of light routes
    lie between those of heavy ones: weights 5, 1, 1 give a a b c a a a.
    """

    name = "weighted"

    def __init__(self) -> None:
        self._clock = 0.0
        self._turns: dict[_Key, float] = {}  # when a route's next turn begins

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """A target of the route whose turn it is."""
        known: dict[int, float] = {}  # by the route itself: comparing routes field by field takes long
        for target in targets:
            if id(target.route) not in known:
                known[id(target.route)] = self._turn(target)
        turns = [known[id(target.route)] for target in targets]
        first = min(turns)
        chosen = longest_unused([target for target, turn in zip(targets, turns, strict=True) if turn == first], rng)
        self.runner_up = best_other(targets, turns, chosen)
        return chosen

    def score(self, request: Request, target: Target, now: float) -> Score:
        """The middle of its route's next turn."""
        return Score(self._turn(target), {"clock_turns": self._clock, "weight": target.route.weight})

    def on_placed(self, request: Request, target: Target, now: float) -> None:
        """The route had its turn."""
        begins = self._begins(target)
        self._clock = max(self._clock, begins)
        self._turns[_key(target)] = begins + 1.0 / target.route.weight

    def _begins(self, target: Target) -> float:
        # One that waits for its turn is never further behind than half of it; one that was away must not be either.
        return max(self._turns.get(_key(target), 0.0), self._clock - 0.5 / target.route.weight)

    def _turn(self, target: Target) -> float:
        return self._begins(target) + 0.5 / target.route.weight


def _key(target: Target) -> _Key:
    return target.route.provider, target.provider_model, target.role
