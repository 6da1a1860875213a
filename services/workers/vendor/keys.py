"""Several keys for one model of a vendor: which one is next, and which are left alone."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.workers.vendor import affinity, failures
from services.workers.vendor.headroom import Headroom, Rate, Reading
from services.workers.vendor.limiter import Lease, Limiter, Outcome

_REFUSED = reasons.ERROR_REASON_PROVIDER_CREDENTIAL
_LIMITED = reasons.ERROR_REASON_PROVIDER_RATE_LIMITED
_OVERLOADED = reasons.ERROR_REASON_PROVIDER_OVERLOADED
_ANOTHER_KEY_MAY_HELP = frozenset({_REFUSED, _LIMITED, _OVERLOADED})


@dataclasses.dataclass(slots=True)
class _Pause:
    until: float = -math.inf
    reason: int = _LIMITED


class KeyPool:
    """The keys of one model, by number. What a key may do differs between models, so each model has a pool."""

    def __init__(
        self,
        size: int,
        *,
        pause_seconds: float,
        labels: Sequence[str] = (),
        initial_limit: float = math.inf,
        maximum_limit: float = math.inf,
    ) -> None:
        """Begin with every key free.

        Args:
            size: how many keys there are.
            pause_seconds: how long a key that was refused is left alone.
            labels: what each key is known by to `affinity.order`; its number where this is empty.
            initial_limit: how many requests each key may have under way at first.
            maximum_limit: and at most.
        """
        self._pauses = [_Pause() for _ in range(size)]
        self._limiters = [Limiter(initial=initial_limit, maximum=maximum_limit) for _ in range(size)]
        self._headrooms = [Headroom() for _ in range(size)]
        self._labels = labels or [str(number) for number in range(size)]
        self._pause_seconds = pause_seconds
        self._next = 0

    @property
    def leases(self) -> int:
        """Requests under way."""
        return sum(limiter.running for limiter in self._limiters)

    def turn(self, *, tenant: str = "", now: float) -> Iterator[int]:
        """The keys to try for one request, in turn: each once, and none that is left alone or full by then.

        A caller begins with the same key each time; one that is not known begins with whichever comes next. A key that
        has nothing left is passed over until all of it is back; where no key has, as soon as something may be.

        Raises:
            Failure: PROVIDER_RATE_LIMITED or PROVIDER_CREDENTIAL, when every key is left alone; WORKER_SATURATED, when
                every other has as much to do as it bears.
        """
        numbers = affinity.order(tenant, self._labels) if tenant else self._from_next()
        awake = [number for number in numbers if self._pauses[number].until <= now]
        if not awake:
            raise self._none_left(now)
        free = [number for number in self._worth_asking(awake, now) if self._limiters[number].has_room]
        if not free:
            raise failures.saturated()
        if not tenant:
            self._next = (free[0] + 1) % len(self._pauses)
        # Looked at again on the way: another request may have found out meanwhile.
        return (number for place, number in enumerate(free) if not place or self._is_free(number, now))

    def lease(self, number: int, *, now: float) -> Lease:
        """Take a place with a key that `turn` has just given; to be ended with the request, however that ends."""
        return self._limiters[number].begin(now=now)

    def hear(self, number: int, readings: Iterable[Reading], *, now: float) -> None:
        """Take what the vendor said of a key's limits."""
        self._headrooms[number].hear(readings, now=now)

    def rates(self, unit: str, *, now: float) -> list[Rate]:
        """What is known of a limit of each key that something is known of."""
        rates = (headroom.rate(unit, now=now) for headroom in self._headrooms)
        return [rate for rate in rates if rate is not None]

    def blame(self, number: int, failure: Failure, *, now: float) -> bool:
        """Note how a key failed; whether another may do better."""
        if failure.reason in (_REFUSED, _LIMITED):
            wait = self._pause_seconds if failure.reason == _REFUSED else failure.retry_after or 0.0
            # What was said of another request meanwhile still holds.
            self._pauses[number] = max(self._pauses[number], _Pause(now + wait, failure.reason), key=_until)
        # With a status the server itself has answered; where none did, no key helps.
        return failure.reason in _ANOTHER_KEY_MAY_HELP or "http_status" in failure.metadata

    def verdict(self, last: Failure, *, now: float) -> Failure:
        """What to say after every key has failed, the last one with `last`."""
        return last if any(pause.until <= now for pause in self._pauses) else self._none_left(now)

    def _from_next(self) -> list[int]:
        size = len(self._pauses)
        return [(self._next + step) % size for step in range(size)]

    def _worth_asking(self, awake: Sequence[int], now: float) -> list[int]:
        fresh = [number for number in awake if self._headrooms[number].spent_until(now=now) <= now]
        if fresh:
            return fresh
        back_at = {number: self._headrooms[number].next_at(now=now) for number in awake}
        back = [number for number in awake if back_at[number] <= now]
        if not back:
            raise failures.rate_limited(min(back_at.values()) - now)
        return back

    def _is_free(self, number: int, now: float) -> bool:
        return self._pauses[number].until <= now and self._limiters[number].has_room

    def _none_left(self, now: float) -> Failure:
        limited = [pause.until - now for pause in self._pauses if pause.reason == _LIMITED]
        if limited:
            return failures.rate_limited(min(limited))
        soonest = min(pause.until - now for pause in self._pauses)
        return failures.credential(retry_after=soonest)


def _until(pause: _Pause) -> float:
    return pause.until


def outcome(failure: Failure) -> Outcome:
    """What a failure says of the vendor's room."""
    return Outcome.REFUSED if failure.reason in (_LIMITED, _OVERLOADED) else Outcome.OTHER
