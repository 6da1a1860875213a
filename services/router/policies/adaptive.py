"""Where a request adds the least latency to all, itself included, and money counts as time."""

import heapq
import random
from collections.abc import Sequence
from typing import NamedTuple

from services.config import strategy as settings
from services.router.knowledge.prediction import expected
from services.router.policies.sampling import worth_a_look
from services.router.policies.strategy import Score, Strategy, longest_unused
from services.router.rendezvous import distance
from services.router.request import Request
from services.router.target import Target

# Workers that a session may be served by without having been there: with two, the less loaded one can be taken.
_CANDIDATES = 2


class Terms(NamedTuple):
    """What a placement costs, in seconds. Each but `distance` is a summand of the score."""

    wait_seconds: float  # of the request itself, weighted
    reading_seconds: float  # of its own prompt, weighted
    step_seconds: float  # for its first token, weighted
    stall_seconds: float  # its prompt makes those that run there wait
    writing_seconds: float  # its answer
    slowing_seconds: float  # its answer slows down those that run there
    price_seconds: float  # what its price is worth
    penalty_seconds: float  # for recent failures


class Adaptive(Strategy):
    """The target where the request adds the least latency, over all requests there, with money as time.

    The switches other than the settings are for measuring what each part is worth.
    """

    name = "adaptive"

    def __init__(
        self,
        chosen: settings.Adaptive,
        *,
        externality: bool = True,
    ) -> None:
        self._chosen = chosen
        self._externality = externality

    def choose(self, request: Request, targets: Sequence[Target], now: float, rng: random.Random) -> Target:
        """The target with the least score."""
        session = self._session(request)
        targets = worth_a_look(request, targets, session, rng)
        least, best = float("inf"), [targets[0]]
        for target in targets:
            value = self._value(request, target, self._terms(request, target, session, now))
            if value < least:
                least, best = value, [target]
            elif value == least:
                best.append(target)
        return best[0] if len(best) == 1 else longest_unused(best, rng)

    def score(self, request: Request, target: Target, now: float) -> Score:
        """The seconds that the request adds there."""
        terms = self._terms(request, target, self._session(request), now)
        told = terms._asdict()
        told["preference"] = self._preference(request, target)
        told["running"] = target.load
        told["uncached_tokens"] = request.uncached_tokens(target.position)
        told["price_nano_usd"] = target.cost(request, request.output_tokens)
        return Score(self._value(request, target, terms), told)

    def _value(self, request: Request, target: Target, terms: Terms) -> float:
        return sum(terms) * self._preference(request, target)

    def _preference(self, request: Request, target: Target) -> float:
        """Makes near-ties go where prompts that begin alike go, in every router: from 1 to 1 + `affinity`."""
        if not request.blocks:
            return 1.0
        return 1.0 + self._chosen.affinity * distance(request.blocks[0], target.identity)

    def _session(self, request: Request) -> Sequence[int]:
        """Positions where earlier turns of the request's session may be, when nothing is known of its prompt."""
        key = request.ask.affinity
        if not key or request.hits:
            return ()
        nearest = heapq.nsmallest(_CANDIDATES, request.pool.targets, key=lambda target: distance(key, target.identity))
        return [target.position for target in nearest]

    def _terms(self, request: Request, target: Target, session: Sequence[int], now: float) -> Terms:
        chosen, worker = self._chosen, target.worker
        uncached: float = request.uncached_tokens(target.position)
        if target.position in session:
            uncached = max(1.0, uncached - chosen.session_share * request.input_tokens)
        taken = expected(request, target, uncached, now)
        weight, answer = chosen.first_content_weight, request.output_tokens
        stall = slowing = 0.0
        if self._externality and not worker.elastic:
            speeds, pool = target.speeds, request.pool.speeds
            running = worker.leases + worker.others
            stall = running * uncached * pool.reading.slope * speeds.prefill
            slowing = answer * (running + 1) * pool.writing.slope * speeds.decode
        price = 1e-9 * target.cost(request, answer) * chosen.seconds_per_usd if target.price is not None else 0.0
        return Terms(
            weight * taken.wait_seconds,
            weight * taken.reading_seconds,
            weight * taken.step_seconds,
            stall,
            answer * taken.step_seconds,
            slowing,
            price,
            target.speeds.penalty(now),
        )
