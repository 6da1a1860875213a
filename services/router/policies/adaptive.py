"""Where a request adds the least latency to all, itself included, and money counts as time."""

import random
from collections.abc import Sequence

from services.config import strategy as settings
from services.router.knowledge.prediction import expected, own_busyness, predict
from services.router.policies.sampling import of_session, worth_a_look
from services.router.policies.strategy import Score, Strategy, best_other, longest_unused
from services.router.rendezvous import distance
from services.router.request import Request
from services.router.target import Target

# What a placement costs, in seconds of somebody's time: the sum of these is what is compared.
TERMS = (
    "wait_seconds",  # of the request itself before its prompt is read, weighted as all before the first content
    "reading_seconds",  # of its prompt, weighted
    "first_step_seconds",  # of its first token, weighted
    "stall_seconds",  # its prompt keeps those waiting that run there
    "writing_seconds",  # of its answer
    "slowing_seconds",  # its answer slows down those that run there
    "price_seconds",  # what its price is worth
    "penalty_seconds",  # for recent failures
)


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
        # What was worked out for the last choice, by position: whoever tells of that choice need not do it again.
        self._worked_out: tuple[Request | None, float, dict[int, tuple[float, ...]]] = (None, 0.0, {})

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """The target with the least score; of equal ones the one that was used longest ago."""
        session = of_session(request)
        targets = worth_a_look(request, targets, session, rng)
        first, affinity = request.blocks[0] if request.blocks else None, self._chosen.affinity
        least = second = float("inf")
        best, other = [targets[0]], None
        worked_out: dict[int, tuple[float, ...]] = {}
        self._worked_out = (request, now, worked_out)
        for target in targets:
            terms = worked_out[target.position] = self._terms(request, target, session, now)
            value = sum(terms)
            if value >= second:
                continue  # and the preference only adds to it
            if first is not None:
                value *= 1.0 + affinity * distance(first, target.identity)
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
        """The seconds that the request adds there; of the request that was last chosen for, as they were then."""
        last, at, worked_out = self._worked_out
        known = worked_out.get(target.position) if last is request and at == now else None
        terms = known or self._terms(request, target, of_session(request), now)
        preference = self._preference(request.blocks[0] if request.blocks else None, target)
        told = dict(zip(TERMS, terms, strict=True))
        told["preference_factor"] = preference
        told["generations"] = target.load
        told["uncached_tokens"] = self._uncached(request, target)
        cost = 0.0
        if target.price is not None:
            taken = predict(request, target, now).whole_seconds(request.output_tokens) if target.price.second else 0.0
            cost = target.cost(request, request.output_tokens, taken)
        told["price_nano_usd"] = cost
        return Score(sum(terms) * preference, told)

    def _preference(self, first: int | None, target: Target) -> float:
        """Makes near-ties go where prompts go that begin alike, in every router: from 1 to 1 + `affinity`."""
        return 1.0 if first is None else 1.0 + self._chosen.affinity * distance(first, target.identity)

    def _uncached(self, request: Request, target: Target) -> int:
        return request.uncached_tokens(target.position) if self._index else request.input_tokens

    def _terms(self, request: Request, target: Target, session: Sequence[int], now: float) -> tuple[float, ...]:
        """The values of `TERMS`."""
        chosen, worker, speeds, answer = self._chosen, target.worker, target.speeds, request.output_tokens
        uncached: float = self._uncached(request, target)
        if session and target.position in session:
            uncached = max(1.0, uncached - chosen.session_share * request.input_tokens)
        wait, reading, step = expected(request, target, uncached, now, slowness=self._learning, age=self._age_guard)
        stall = slowing = price = 0.0
        if self._externality and not worker.elastic:
            pool, running = request.pool.speeds, worker.leases + worker.others
            prefill, decode = (speeds.prefill, speeds.decode) if self._learning else (1.0, 1.0)
            stall = running * uncached * pool.reading.slope * prefill
            slowing = (running + 1) * answer * own_busyness(request, worker) * pool.writing.slope * decode
        if target.price is not None:
            taken = wait + reading + answer * step
            price = 1e-9 * target.cost(request, answer, taken) * chosen.seconds_per_usd
        weight = chosen.first_content_weight
        return (
            weight * wait,
            weight * reading,
            weight * step,
            stall,
            answer * step,
            slowing,
            price,
            speeds.penalty(now) if speeds.penalty_seconds else 0.0,
        )
