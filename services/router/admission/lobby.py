"""Who is placed at once, who waits, and who goes on when there is room. The one place that knows all of admission."""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from google.rpc import status_pb2

from services.chassis.failure import Failure
from services.router import refusals
from services.router.admission import selection, shedding
from services.router.admission.admission import FIRST_PORTION, NEVER
from services.router.admission.selection import Choice, Selector
from services.router.admission.waiter import Waiter
from services.router.breaker import State
from services.router.leases import GatewayStream, Generation
from services.router.pools import Pool
from services.router.request import Request
from services.router.target import Target
from services.router.worker import Worker

# Time changes more than is known here, such as what is expected of a worker: so often a model is looked at for which
# somebody waits.
_LOOK_SECONDS = 1.0
# So long those that were let go to a worker without a known limit have to show whether it has room.
_REST_SECONDS = 0.05
# Most answers that one event brings about; the rest follow at once, after whatever has come meanwhile.
_MOST_AT_ONCE = 32

# What becomes of a waiter: a place, or why there is none.
Fate = Choice | Failure
Settle = Callable[[Waiter, Fate, float], None]


class Lobby:
    """Those that wait, for all models."""

    def __init__(self, rng: random.Random, settle: Settle) -> None:
        """Nobody waits.

        Args:
            rng: for the strategies.
            settle: is told what becomes of each that waited, except that it went by itself.
        """
        self._rng = rng
        self._settle = settle
        self._pools: dict[str, Pool] = {}  # those that somebody waits for, by the models' names

    @property
    def empty(self) -> bool:
        """Whether nobody waits."""
        return not self._pools

    def wake_at(self) -> float | None:
        """When `look` should be called though nothing has happened; None is never."""
        if not self._pools:
            return None
        return min(pool.admission.wakes_at for pool in self._pools.values())

    def foresee(
        self, request: Request, ends_at: float | None, now: float, rng: random.Random
    ) -> Choice | int | Failure:
        """What becomes of a request: a place, a wait behind so many others, or why neither. Changes nothing."""
        queue = request.pool.admission.queue
        # Those that came before and may use the same workers are served before.
        if not (queue and queue.has_lane(selection.lane(request, ()))):
            choice = Selector(request, since=now, ends_at=ends_at, now=now, rng=rng).choose((), later=now, again=False)
            if choice is not None:
                return _unless_late(request, choice, shedding.bound(request, ends_at=ends_at, since=now))
        return _ahead(request, (), ends_at, now)

    def admit(
        self, stream: GatewayStream, generation: Generation, request: Request, now: float
    ) -> Choice | int | Failure:
        """Place a request, have it wait behind so many others, or say why not."""
        fate = self.foresee(request, generation.ends_at, now, self._rng)
        return self._wait(stream, generation, request, now, fate) if isinstance(fate, int) else fate

    def retry(self, generation: Generation, request: Request, *, now: float, later: float) -> Choice | None:
        """Where another attempt goes; None where nobody can take it now."""
        selector = self._selector(generation, request, now, now)
        choice = selector.choose(generation.tried, later=later, again=False)
        # Rather somebody who is busy than one who has failed it.
        if choice is None and not selection.worth_waiting(request, generation.tried, now):
            choice = selector.choose(generation.tried, later=later, again=True)
        return choice

    def wait(
        self,
        stream: GatewayStream,
        generation: Generation,
        request: Request,
        now: float,
        *,
        cause: status_pb2.Status | None = None,
    ) -> int | Failure:
        """Have a request wait behind so many others, or say why there is no use.

        Args:
            stream: where it is to be answered.
            generation: whose attempt it is.
            request: what was asked.
            now: the time.
            cause: how the attempt before it ended, if there was one.
        """
        ahead = _ahead(request, generation.tried, generation.ends_at, now)
        return self._wait(stream, generation, request, now, ahead, cause) if isinstance(ahead, int) else ahead

    def _wait(
        self,
        stream: GatewayStream,
        generation: Generation,
        request: Request,
        now: float,
        ahead: int,
        cause: status_pb2.Status | None = None,
    ) -> int:
        pool, ask = request.pool, request.ask
        admission = pool.admission
        queue, settings = admission.queue, admission.settings
        if len(queue) >= settings.max_waiting:
            newest = queue.gives_way(ask.key, ask.key_weight, request.criticality)
            assert newest is not None, "else it would not wait"
            self._end(newest, _shed(newest.request, _backlog(newest.request, now)), now)
        until = min(shedding.bound(request, ends_at=generation.ends_at, since=now), now + settings.max_seconds)
        waiter = Waiter(stream, generation, request, now, until, selection.lane(request, generation.tried), cause)
        generation.waiter = waiter
        queue.put(waiter)
        self._pools[pool.model] = pool
        admission.wakes_at = min(admission.wakes_at, _next_look(pool, now))
        return ahead

    def leave(self, generation: Generation) -> None:
        """A generation waits no longer, of its own will. Nothing happens where it did not."""
        waiter, generation.waiter = generation.waiter, None
        if waiter is not None:
            self._drop(waiter)

    def move(self, pools: Mapping[str, Pool], now: float) -> None:
        """The models are now these, by every name of theirs. Those that wait go on waiting, as if they had come just
        now; or there is no such model any more."""
        before, self._pools = self._pools, {}
        for pool in before.values():
            for waiter in sorted(pool.admission.queue, key=lambda waiter: waiter.number):
                generation, moved = waiter.generation, pools.get(pool.model)
                pool.admission.queue.drop(waiter)
                generation.waiter = None
                if moved is None:
                    self._settle(waiter, refusals.model_not_found(waiter.request.ask.model, pools), now)
                    continue
                request = generation.request = Request.of(waiter.request.ask, moved)
                answer = self.wait(waiter.stream, generation, request, now, cause=waiter.cause)
                if isinstance(answer, Failure):
                    self._settle(waiter, answer, now)

    def look(self, stirred: Iterable[str], now: float) -> None:
        """Let go on whoever can, and end the wait of those whose time is up.

        Args:
            stirred: names of workers of which there is news.
            now: the time.
        """
        if not self._pools:
            return
        names = list(stirred)
        for pool in list(self._pools.values()):
            fresh = [worker for name in names if (worker := pool.workers.get(name)) is not None]
            due = pool.admission.wakes_at <= now
            if due or _may_have_room(fresh):
                self._drain(pool, None if due else fresh, now)

    def _drain(self, pool: Pool, fresh: Sequence[Worker] | None, now: float) -> None:
        """Let go on whoever can; for no longer than those have room of whom there is news, where it is for them."""
        admission, left = pool.admission, _MOST_AT_ONCE
        queue = admission.queue
        while (overdue := queue.first_due()) is not None and overdue.until <= now:
            self._end(overdue, _too_late(overdue, now), now)
        blocked: set[object] = set()
        freely = admission.portion
        while now >= admission.rests_until and (waiter := queue.next(blocked)) is not None:
            if not left or not (fresh is None or _may_have_room(fresh)):
                break
            fate = self._fate(waiter, now)
            if fate is not None:
                left -= 1
                self._end(waiter, fate, now)
                if isinstance(fate, Choice) and not fate.target.capacity:
                    freely -= 1
                    if not freely:
                        admission.rests_until, admission.portion = now + _REST_SECONDS, 2 * admission.portion
            elif any(selection.hopes(waiter.request, waiter.generation.tried, now)):
                blocked.add(waiter.lane)
            else:  # nobody can serve any of them: why is the same for all
                why = refusals.not_placed(waiter.request, now)
                for other in queue.lane(waiter.lane):
                    self._end(other, why, now)
        if queue:
            rests = admission.rests_until
            admission.wakes_at = min(_next_look(pool, now), rests if rests > now else NEVER) if left else now

    def _fate(self, waiter: Waiter, now: float) -> Fate | None:
        """What becomes of a waiter now; None: it waits on."""
        generation, request = waiter.generation, waiter.request
        selector = self._selector(generation, request, waiter.since, now)
        choice = selector.choose(generation.tried, later=now, again=False)
        if choice is None and generation.tried and not any(selection.hopes(request, generation.tried, now)):
            choice = selector.choose(generation.tried, later=now, again=True)
        return None if choice is None else _unless_late(request, choice, waiter.until)

    def _end(self, waiter: Waiter, fate: Fate, now: float) -> None:
        if isinstance(fate, Choice):
            waiter.request.pool.admission.queue.on_turn()
        waiter.generation.waiter = None
        self._drop(waiter)
        self._settle(waiter, fate, now)

    def _drop(self, waiter: Waiter) -> None:
        pool = waiter.request.pool
        queue = pool.admission.queue
        queue.drop(waiter)
        if not queue:
            self._pools.pop(pool.model, None)
            pool.admission.wakes_at, pool.admission.portion = NEVER, FIRST_PORTION

    def _selector(self, generation: Generation, request: Request, since: float, now: float) -> Selector:
        return Selector(request, since=since, ends_at=generation.ends_at, now=now, rng=self._rng)


def _ahead(request: Request, tried: Collection[str], ends_at: float | None, now: float) -> int | Failure:
    """How many are served before a request that waits, or why there is no use in waiting."""
    admission = request.pool.admission
    queue, most = admission.queue, admission.settings.max_waiting
    hopes = list(selection.hopes(request, tried, now))
    if not hopes or not most:
        return refusals.not_placed(request, now)
    ahead = queue.ahead(request.ask.key, request.criticality)
    until = min(shedding.bound(request, ends_at=ends_at, since=now), now + admission.settings.max_seconds)
    excess = _excess(request, hopes, ahead, now, until)
    if excess > 0.0:
        return _shed(request, excess)
    if len(queue) >= most:
        ask = request.ask
        if queue.gives_way(ask.key, ask.key_weight, request.criticality) is None:
            return _shed(request, _backlog(request, now))
    return ahead


def _unless_late(request: Request, choice: Choice, until: float) -> Fate:
    """The choice, unless it would begin too late to be any good."""
    if not choice.late(until):
        return choice
    return _shed(request, choice.at + (choice.seconds or 0.0) - until)


def _too_late(waiter: Waiter, now: float) -> Failure:
    """Why somebody has waited in vain."""
    ends_at = waiter.generation.ends_at
    if ends_at is not None and ends_at <= now:
        return refusals.deadline_exceeded()
    return _shed(waiter.request, _backlog(waiter.request, now))


def _shed(request: Request, excess: float | None) -> Failure:
    return refusals.saturated(request.pool, shedding.retry_after(excess))


def _backlog(request: Request, now: float) -> float | None:
    """Seconds until all that wait have been served; None where nothing is known."""
    admission = request.pool.admission
    places = sum(target.worker.places for target in selection.hopes(request, (), now))
    return admission.pace.wait(len(admission.queue), places)


def _excess(request: Request, hopes: Sequence[Target], ahead: int, now: float, until: float) -> float:
    """How many seconds too late the first content would be of one that waits behind so many others; 0 where in time.

    What is not known takes no time.
    """
    pool = request.pool
    limited = [target for target in hopes if target.capacity]
    waits = [max(0.0, target.held_until - now) for target in hopes if not target.capacity]
    if limited:
        waits.append(pool.admission.pace.wait(ahead, sum(target.worker.places for target in limited)) or 0.0)
    begins = now + min(waits)
    excess = NEVER
    for target in hopes:
        prediction = pool.predict(request, target, now)
        # Without a wait at the worker: it is given no more than it can run.
        seconds = 0.0 if prediction is None else prediction.reading_seconds + prediction.step_seconds
        excess = min(excess, begins + seconds - until)
        if excess <= 0.0:
            return 0.0
    return excess


def _may_have_room(workers: Iterable[Worker]) -> bool:
    """Whether one of them may take somebody who waits, or is gone, so that nobody need wait for it."""
    return any(not (worker.full and worker.serving) for worker in workers)


def _next_look(pool: Pool, now: float) -> float:
    """When time alone may change something for those that wait."""
    due = pool.admission.queue.first_due()
    at = min(now + _LOOK_SECONDS, NEVER if due is None else due.until)
    for target in pool.targets:
        if now < target.held_until < at:
            at = target.held_until
    for worker in pool.workers.values():
        if worker.breaker.state is State.OPEN and now < worker.breaker.reopens_at < at:
            at = worker.breaker.reopens_at
    return at
