"""Where a request adds the least latency to all, itself included, and money counts as time."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from services.config import strategy as settings
from services.router.knowledge.prediction import expected, own_busyness
from services.router.policies.sampling import of_session, worth_a_look
from services.router.policies.strategy import Score, Strategy, best_other, longest_unused
from services.router.rendezvous import distance
from services.router.request import Request
from services.router.target import Target


class Terms(NamedTuple):
    """What a placement costs, in seconds of somebody's time. Their sum is what is compared."""

    wait_seconds: float  # of the request itself before its prompt is read, weighted as all before the first content
    reading_seconds: float  # of its prompt, weighted
    first_step_seconds: float  # of its first token, weighted
    late_seconds: float  # beyond its objective for the first content, weighted
    stall_seconds: float  # its prompt keeps those waiting that run there
    writing_seconds: float  # of its answer
    slowing_seconds: float  # its answer slows down those that run there
    price_seconds: float  # what its price is worth
    penalty_seconds: float  # for recent failures


class Adaptive(Strategy):
    """The target where the request adds the least latency, over all requests there, with money as time.

    The switches beside the settings are there to measure what each part is worth.
    """

    name = "adaptive"

    def __init__(
        self,
        chosen: settings.Adaptive,
        *,
        externality: bool = True,
        learning: bool = True,
        age_guard: bool = True,
        index: bool = True,
    ) -> None:
        """A strategy for one model.

        Args:
            chosen: its settings.
            externality: whether it counts what the request costs the others.
            learning: whether it knows slow workers from fast ones.
            age_guard: whether it stays away from workers that keep somebody waiting far too long.
            index: whether it knows what is cached where.
        """
        self._chosen = chosen
        self._externality = externality
        self._learning = learning
        self._age_guard = age_guard
        self._index = index

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """The target with the least score; of equal ones the one that was used longest ago."""
        session = of_session(request)
        targets = worth_a_look(request, targets, session, rng)
        least = second = float("inf")
        best, other = [targets[0]], None
        for target in targets:
            value = sum(self._terms(request, target, session, now)) * self._preference(request, target)
            if value < least:
                second, other = least, best[0]
                least, best = value, [target]
            elif value == least:
                best.append(target)
            elif value < second:
                second, other = value, target
        if len(best) == 1:
            self.runner_up = None if other is best[0] else other
            return best[0]
        chosen = longest_unused(best, rng)
        self.runner_up = best_other(best, [least] * len(best), chosen)
        return chosen

    def score(self, request: Request, target: Target, now: float) -> Score:
        """The seconds that the request adds there."""
        terms = self._terms(request, target, of_session(request), now)
        preference = self._preference(request, target)
        told: dict[str, float] = terms._asdict()
        told["preference_factor"] = preference
        told["generations"] = target.load
        told["uncached_tokens"] = self._uncached(request, target)
        told["price_nano_usd"] = target.cost(request, request.output_tokens)
        return Score(sum(terms) * preference, told)

    def _preference(self, request: Request, target: Target) -> float:
        """Makes near-ties go where prompts go that begin alike, in every router: from 1 to 1 + `affinity`."""
        if not request.blocks:
            return 1.0
        return 1.0 + self._chosen.affinity * distance(request.blocks[0], target.identity)

    def _uncached(self, request: Request, target: Target) -> int:
        return request.uncached_tokens(target.position) if self._index else request.input_tokens

    def _terms(self, request: Request, target: Target, session: Sequence[int], now: float) -> Terms:
        chosen, worker, answer = self._chosen, target.worker, request.output_tokens
        uncached: float = self._uncached(request, target)
        if session and target.position in session:
            uncached = max(1.0, uncached - chosen.session_share * request.input_tokens)
        wait, reading, step = expected(request, target, uncached, now, slowness=self._learning, age=self._age_guard)
        weight, slo = chosen.first_content_weight, request.first_content_slo
        late = stall = slowing = price = 0.0
        if slo is not None and wait + reading + step > slo:
            # No more than once over: what is far too late anyway should be so where it harms the others least.
            late = chosen.late_weight * min(wait + reading + step - slo, slo)
        if self._externality and not worker.elastic:
            pool, running = request.pool.speeds, worker.leases + worker.others
            prefill, decode = (target.speeds.prefill, target.speeds.decode) if self._learning else (1.0, 1.0)
            stall = running * uncached * pool.reading.slope * prefill
            slowing = (running + 1) * answer * own_busyness(request, worker) * pool.writing.slope * decode
        if target.price is not None:
            price = 1e-9 * target.cost(request, answer) * chosen.seconds_per_usd
        return Terms(
            weight * wait,
            weight * reading,
            weight * step,
            late,
            stall,
            answer * step,
            slowing,
            price,
            target.speeds.penalty(now),
        )
