"""Filters: which targets may take a request now, without asking each of them each time.

What a filter says is `Target`'s to know. Here is only remembered what it said, for as long as that must still be true.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from services.router.request import Request
from services.router.target import Target

# Kinds of requests that are remembered: more than callers usually ask for, and few enough to begin anew.
_KINDS = 512


@dataclasses.dataclass(frozen=True, slots=True)
class _Fitting:
    """The targets of one role that can do what a kind of request asks for.

    Attributes:
        targets: in the pool's order.
        tokens: a prompt of up to so many fits them all.
        unsuited: what rules the others of the role out, by position.
    """

    targets: Sequence[Target]
    tokens: float
    unsuited: Mapping[int, str]


class Filters:
    """The filters of all targets of a model.

    A worker's version tells whether what was remembered of it is out of date.
    """

    def __init__(self, by_role: Mapping[str, Sequence[Target]]) -> None:
        self._by_role = by_role
        self._targets = sorted((target for group in by_role.values() for target in group), key=lambda one: one.position)
        self._workers = [target.worker for target in self._targets]
        self._versions = [-1] * len(self._targets)
        self._offers = [(worker.served, worker.context_tokens) for worker in self._workers]
        self._unavailable: list[str] = [""] * len(self._targets)  # by position
        self._until = [0.0] * len(self._targets)
        self._soonest = 0.0
        self._out = 0
        self._seen_at = 0.0
        self._kinds: dict[tuple[object, ...], dict[str, _Fitting]] = {}

    def ready(self, request: Request, role: str, now: float, *, despite: str = "") -> Sequence[Target]:
        """The targets of a role that no filter keeps from the request, in the pool's order. Not to be changed.

        Or, `despite` that one, those that it alone keeps away, where it is one of `Worker.hesitant`.

        Fast for a clock that goes forward; after it went back everybody is asked again.
        """
        self._look(now)
        ready = self.fitting(request, role)
        if self._out:
            unavailable = self._unavailable
            ready = [target for target in ready if unavailable[target.position] == despite]
        elif despite:
            return ()
        return ready

    def fitting(self, request: Request, role: str) -> Sequence[Target]:
        """The targets of a role that can do what the request asks for, whatever their workers are at."""
        fitting = self._fitting(request, role)
        if request.input_tokens > fitting.tokens or request.ask.HasField("max_cost_nano_usd"):
            return [target for target in fitting.targets if not target.exceeded(request)]
        return fitting.targets

    def kept(self, request: Request, role: str, now: float) -> Iterator[tuple[Target, str]]:
        """The same, each with what keeps the request away from it now; "" is nothing."""
        self._look(now)
        for target in self.fitting(request, role):
            yield target, self._unavailable[target.position]

    def reasons(self, request: Request) -> Sequence[str]:
        """The filter that rules each target out, by position, as `ready` last saw them; empty where there is none."""
        names = list(self._unavailable)
        for role, targets in self._by_role.items():
            if not targets:
                continue
            fitting = self._fitting(request, role)
            if request.input_tokens > fitting.tokens or request.ask.HasField("max_cost_nano_usd"):
                for target in fitting.targets:
                    names[target.position] = target.exceeded(request) or names[target.position]
            for position, reason in fitting.unsuited.items():
                names[position] = reason
        return names

    def _look(self, now: float) -> None:
        """Ask the workers that have changed, and those whose answer has had its time."""
        versions = [worker.version for worker in self._workers]
        if now < self._seen_at:
            changed: Sequence[int] = range(len(versions))
        else:
            changed = []
            if versions != self._versions:
                pairs = enumerate(zip(versions, self._versions, strict=True))
                changed = [index for index, (one, other) in pairs if one != other]
            if now >= self._soonest:
                changed = [*changed, *(index for index, until in enumerate(self._until) if now >= until)]
        self._seen_at = now
        if changed:
            for index in changed:
                self._ask(index, now)
            self._versions = versions
            self._soonest = min(self._until)

    def _ask(self, index: int, now: float) -> None:
        worker = self._workers[index]
        offer, known = (worker.served, worker.context_tokens), self._offers[index]
        if offer[0] is not known[0] or offer[1] is not known[1]:
            self._offers[index] = offer
            self._kinds.clear()
        before = self._unavailable[index]
        self._unavailable[index], self._until[index] = self._targets[index].unavailable(now)
        self._out += bool(self._unavailable[index]) - bool(before)

    def _fitting(self, request: Request, role: str) -> _Fitting:
        key = (request.needs, request.tags, request.providers, request.ask.worker)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= _KINDS:
                self._kinds.clear()
            kind = self._kinds[key] = {}
        fitting = kind.get(role)
        if fitting is None:
            reasons = {target.position: target.unsuited(request) for target in self._by_role[role]}
            targets = [target for target in self._by_role[role] if not reasons[target.position]]
            longest = min((target.longest_prompt for target in targets), default=float("inf"))
            unsuited = {position: reason for position, reason in reasons.items() if reason}
            fitting = kind[role] = _Fitting(targets, longest, unsuited)
        return fitting
