"""One way to serve a model: a worker, what to ask it for, and what is known of it."""

import dataclasses
import math
from collections.abc import Collection

from hybridinference.inference.v1 import routing_pb2 as routing

from services.config.model import Route
from services.config.tariff import Tariff, micros
from services.inference.capabilities import DROPPABLE
from services.router.knowledge.speeds import TargetSpeeds
from services.router.request import Request
from services.router.worker import Worker

# Filters that are no reason to refuse, but for which others are preferred.
HESITANT = ("slow_start", "stalled")

ROLES = {
    "primary": routing.ROUTE_ROLE_PRIMARY,
    "fallback": routing.ROUTE_ROLE_FALLBACK,
    "canary": routing.ROUTE_ROLE_CANARY,
    "shadow": routing.ROUTE_ROLE_SHADOW,
}

# What keeps a request away for good, in the order in which it is looked at.
FILTERS = ("", "worker", "provider", "tags", "capabilities", "context_length", "max_cost")


@dataclasses.dataclass(slots=True, eq=False)
class Target:
    """One way to serve a model. Strategies read it, and change nothing.

    Attributes:
        worker: who serves.
        provider_model: the model to ask for.
        route: as configured.
        price: what tokens and time cost; None costs nothing that is counted.
        position: its place among the targets of the model; never changes.
        identity: stands for it in hashes; the same in every router with the same configuration.
        turn: when the model was last placed here, as a count of placements; 0 is never.
        drained: whether operators have taken its route out of service.
        speeds: how slow it is, against the model's mean.
    """

    worker: Worker
    provider_model: str
    route: Route
    price: Tariff | None = None
    position: int = 0
    identity: int = 0
    turn: int = 0
    drained: bool = False
    speeds: TargetSpeeds = dataclasses.field(default_factory=TargetSpeeds)

    @property
    def key(self) -> tuple[str, str, str, bool]:
        """What tells it from the model's other targets, and in which order they stand."""
        return self.worker.name, self.provider_model, self.role, self.drops

    @property
    def role(self) -> str:
        """The route's role."""
        return self.route.role

    @property
    def drops(self) -> bool:
        """Whether parameters that the provider does not have are left out."""
        return self.route.on_unsupported == "drop"

    @property
    def load(self) -> int:
        """Generations at the worker, each counted once: own leases, and what others have placed."""
        return self.worker.leases + self.worker.others

    @property
    def capacity(self) -> int:
        """Most generations that the worker runs at once; 0 where no limit is known."""
        return self.worker.capacity

    @property
    def held_until(self) -> float:
        """When it may be asked again; it asked to be left alone."""
        return self.worker.holds.of(self.provider_model)

    @property
    def has_room(self) -> bool:
        """Whether it would begin at once, as far as is known."""
        return self.worker.capacity == 0 or self.load < self.worker.capacity

    @property
    def free(self) -> bool:
        """Whether neither its tokens nor its time cost anything."""
        return self.price is None or self.price.free

    def capable(self, needs: Collection[int]) -> bool | None:
        """Whether the worker can do it, less what the route leaves out; None where it has not said."""
        served = self.worker.served.get(self.provider_model)
        if served is None:
            return None
        return served.issuperset(needs) or (self.drops and not self.lacks(needs))

    def lacks(self, needs: Collection[int]) -> set[int]:
        """What the worker has not and the route does not leave out."""
        served = self.worker.served.get(self.provider_model, frozenset())
        return {need for need in needs if need not in served and not (self.drops and need in DROPPABLE)}

    def has_all(self, needs: Collection[int]) -> bool:
        """Whether nothing would be left out."""
        return self.worker.served[self.provider_model].issuperset(needs)

    def cost(self, request: Request, output_tokens: float, seconds: float) -> float:
        """What an answer of that length in that time is expected to cost here, in nano-USD; cached tokens as such."""
        price = self.price
        if price is None:
            return 0.0
        hit = min(request.hits.get(self.position, 0), request.input_tokens)
        return price.expected_nano_usd(request.input_tokens, hit, output_tokens, seconds)

    def most_cost(self, request: Request, *, going_on: bool = False) -> int:
        """The dearest it can come to, in nano-USD: nothing cached, the longest answer, and all the time there is.

        Of an attempt that is `going_on` with an answer, the part that there is belongs to its prompt.
        """
        price = self.price
        if price is None:
            return 0
        context = self.worker.context_tokens.get(self.provider_model, 0)
        asked, time = request.input_tokens, micros(request.seconds) if price.second else 0
        longest = request.ask.max_output_tokens or max(0, context - asked)
        most = price.most_nano_usd(asked, longest, time)
        return max(most, price.most_nano_usd(asked + longest, 0, time)) if going_on else most

    def ruled_out(self, request: Request, at: float) -> str:
        """The filter that keeps an attempt away that begins at that time; empty where there is none.

        What the request asks for comes first, what the worker is at comes last: the one does not change by waiting.
        """
        return self.unfit(request) or self.unavailable(at)[0]

    def unfit(self, request: Request) -> str:
        """The filter that keeps the request away for good, whatever the worker is at; empty where there is none."""
        return self.unsuited(request) or self.exceeded(request)

    def unsuited(self, request: Request) -> str:
        """The filter that rules it out whatever the request's size, by what kind of request it is.

        It goes by the ask's worker, and the request's providers, tags and needs; else by what the worker serves.
        """
        ask, worker = request.ask, self.worker
        if ask.worker and ask.worker != worker.name:
            return "worker"
        if request.providers and worker.place.provider not in request.providers:
            return "provider"
        if request.tags and not request.tags.issubset(self.route.tags):
            return "tags"
        if self.capable(request.needs) is False:
            return "capabilities"
        return ""

    @property
    def longest_prompt(self) -> float:
        """Most tokens of a prompt, as estimated: an estimate must not refuse what would just fit."""
        return 1.5 * self.worker.context_tokens.get(self.provider_model, 0) or math.inf

    def exceeded(self, request: Request) -> str:
        """The filter that rules it out by the request's size."""
        if request.input_tokens > self.longest_prompt:
            return "context_length"
        return "max_cost" if request.max_cost < math.inf and self.most_cost(request) > request.max_cost else ""

    def unavailable(self, at: float) -> tuple[str, float]:
        """The filter that rules it out by what its worker is at, and when that is to be asked again.

        Until then, from that time on, the answer is the same unless the worker's version changes.
        """
        worker = self.worker
        if self.drained or worker.drained:
            return "drained", math.inf
        if not worker.serving or self.provider_model not in worker.served:
            return "health", math.inf
        if not worker.breaker.admits(at):
            return "breaker", worker.breaker.admits_at
        held_until = worker.holds.of(self.provider_model)
        if held_until > at:
            return "held", held_until
        # Last those that are no reason to refuse, see `Pool.eligible`: whoever has one of them has no other.
        return ("full", math.inf) if worker.full else worker.hesitant(at)
