"""Several keys for one server: which one is next, and which are left alone."""

import dataclasses
from collections.abc import Iterator

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.workers.vendor import failures

_REFUSED = reasons.ERROR_REASON_PROVIDER_CREDENTIAL
_LIMITED = reasons.ERROR_REASON_PROVIDER_RATE_LIMITED
_ANOTHER_KEY_MAY_HELP = frozenset({_REFUSED, _LIMITED, reasons.ERROR_REASON_PROVIDER_OVERLOADED})


@dataclasses.dataclass(slots=True)
class _Pause:
    until: float = float("-inf")
    reason: int = _LIMITED


class KeyPool:
    """The keys of one model, by number. What a key may do differs between models, so each model has a pool."""

    def __init__(self, size: int, *, pause_seconds: float) -> None:
        self._pauses = [_Pause() for _ in range(size)]
        self._pause_seconds = pause_seconds
        self._next = 0

    def turn(self, *, tenant: str = "", now: float) -> Iterator[int]:
        """The keys to try for one request, in turn: each once, and none that is left alone by then.

        Raises:
            Failure: PROVIDER_RATE_LIMITED or PROVIDER_CREDENTIAL, when every key is left alone.
        """
        size = len(self._pauses)
        numbers = [(self._next + step) % size for step in range(size)]
        free = [number for number in numbers if self._pauses[number].until <= now]
        if not free:
            raise self._none_left(now)
        self._next = (free[0] + 1) % size
        # Looked at again on the way: another request may have found out meanwhile.
        return (number for place, number in enumerate(free) if not place or self._pauses[number].until <= now)

    def blame(self, number: int, failure: Failure, *, now: float) -> bool:
        """Note how a key failed; whether another may do better."""
        if failure.reason == _REFUSED:
            self._pauses[number] = _Pause(now + self._pause_seconds, _REFUSED)
        elif failure.reason == _LIMITED:
            until = max(now + (failure.retry_after or 0.0), self._pauses[number].until)
            self._pauses[number] = _Pause(until, _LIMITED)
        # With a status the server itself has answered; where none did, no key helps.
        return failure.reason in _ANOTHER_KEY_MAY_HELP or "http_status" in failure.metadata

    def verdict(self, last: Failure, *, now: float) -> Failure:
        """What to say after every key has failed, the last one with `last`."""
        return last if any(pause.until <= now for pause in self._pauses) else self._none_left(now)

    def _none_left(self, now: float) -> Failure:
        limited = [pause.until - now for pause in self._pauses if pause.reason == _LIMITED]
        if limited:
            return failures.rate_limited(min(limited))
        soonest = min(pause.until - now for pause in self._pauses)
        return failures.credential(retry_after=soonest)
