"""Which target takes an attempt: the strategy's choice, unless it would begin too late and another would not."""

import random
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from services.router.admission.admission import NEVER
from services.router.pools import ROLES, Pool, roles_of
from services.router.request import Request
from services.router.target import Target

# A hold that ends within so many seconds is waited for.
SHORT_HOLD_SECONDS = 5.0


# Of a target that is fit and well, whatever keeps it from being the first choice.
_WELL = ("", "full", "slow_start", "stalled")


class Choice(NamedTuple):
    """Where an attempt goes.

    Attributes:
        target: the target.
        at: when it begins.
        seconds: expected time from there to the first content; None where nothing is known.
        targets: those that could have been chosen.
        spilled: whether a primary route would have served if it had had room, or had been soon enough.
    """

    target: Target
    at: float
    seconds: float | None
    targets: Sequence[Target]
    spilled: bool = False

    def late(self, until: float) -> bool:
        """Whether the first content is expected after that time.

        Never of a worker that has nothing to do: nothing would be gained by waiting, and a prediction that is wrong
        would never be found to be.
        """
        return self.seconds is not None and self.at + self.seconds > until and self.target.load > 0


class Selector:
    """Chooses for one attempt."""

    __slots__ = ("_now", "_request", "_rng", "_until")

    def __init__(
        self, request: Request, *, since: float, ends_at: float | None, now: float, rng: random.Random
    ) -> None:
        """Prepare the choice.

        Args:
            request: what is to be placed.
            since: when it was asked for.
            ends_at: its deadline; None is never.
            now: the time.
            rng: for the strategy.
        """
        slo = request.first_content_slo
        # As soon as this it should begin, where somebody can.
        self._until = NEVER if ends_at is None else ends_at
        if slo is not None and since + slo < self._until:
            self._until = since + slo
        self._request, self._now, self._rng = request, now, rng

    def choose(self, tried: Collection[str], *, later: float, again: bool) -> Choice | None:
        """The target, or None where nobody can take it now. Arguments as of `Pool.eligible`."""
        request, pool = self._request, self._request.pool
        targets, at = pool.eligible(request, tried, now=self._now, later=later, again=again)
        if not targets:
            return None
        if targets[0].worker.hesitant(self._now)[0] == "stalled" and worth_waiting(request, tried, self._now):
            return None  # all that are left seem to be stuck: rather somebody who gets on and is only busy
        pool.look_up(request)
        choice = self._in_time(targets, at)
        role = choice.target.role
        if choice.seconds is not None and choice.late(self._until) and role in ROLES and not request.ask.worker:
            rest = ROLES[ROLES.index(role) + 1 :]
            others, then = pool.eligible(request, tried, now=self._now, later=later, roles=rest, again=again)
            if others:
                other = self._in_time(others, then)
                if not other.late(self._until):
                    choice = other
        if choice.target.role == "fallback" and self._spills(pool):
            return choice._replace(spilled=True)
        return choice

    def _in_time(self, targets: Sequence[Target], at: float) -> Choice:
        """The strategy's choice of those that begin in time; the soonest where none does."""
        choice = self._chosen(targets, at)
        if not choice.late(self._until):
            return choice
        every = [Choice(target, at, self._seconds(target), targets) for target in targets]
        timely = [one.target for one in every if not one.late(self._until)]
        if timely:
            return self._chosen(timely, at)
        return min(every, key=lambda one: one.seconds or 0.0)

    def _chosen(self, targets: Sequence[Target], at: float) -> Choice:
        target = self._request.pool.choose(self._request, targets, self._now, self._rng)
        return Choice(target, at, self._seconds(target), targets)

    def _seconds(self, target: Target) -> float | None:
        prediction = self._request.pool.predict(self._request, target, self._now)
        return None if prediction is None else prediction.first_content_seconds

    def _spills(self, pool: Pool) -> bool:
        why = [target.ruled_out(self._request, self._now) for target in pool.targets if target.role == "primary"]
        return any(one in _WELL or one == "held" for one in why)


def hopes(request: Request, tried: Collection[str], now: float) -> Iterator[Target]:
    """Targets that it is worth waiting for: those that have no room now, or soon will have."""
    for target, why in _kept(request, tried, now):
        if why in _WELL or (why == "held" and target.held_until - now <= SHORT_HOLD_SECONDS):
            yield target


def worth_waiting(request: Request, tried: Collection[str], now: float) -> bool:
    """Whether somebody who has not failed the request is only busy, and gets on."""
    return any(
        why == "full" and target.worker.hesitant(now)[0] != "stalled" for target, why in _kept(request, tried, now)
    )


def lane(request: Request, tried: Collection[str]) -> int:
    """A set of bits for the targets that a request may use: those who may use the same wait in one lane."""
    bits = 0
    for role in roles_of(request):
        for target in request.pool.filters.fitting(request, role):
            if _may(request, target, tried):
                bits |= 1 << target.position
    return bits


def _kept(request: Request, tried: Collection[str], now: float) -> Iterator[tuple[Target, str]]:
    """The targets that the request may use, each with what keeps it away now."""
    for role in roles_of(request):
        for target, why in request.pool.filters.kept(request, role, now):
            if _may(request, target, tried):
                yield target, why


def _may(request: Request, target: Target, tried: Collection[str]) -> bool:
    return target.worker.name not in tried and (target.role != "canary" or target in request.canary)
