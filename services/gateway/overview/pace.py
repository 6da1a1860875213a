"""How often a key is told. Pure.

An answer costs the gateway up to tens of milliseconds, in which nobody else is served, and costs the key nothing.
"""

# For each key, at one gateway. A page asks for 60 requests every two seconds: ten of them may be open at once.
A_SECOND, AT_ONCE = 400.0, 800.0
# What an answer costs beside the requests in it.
_ANSWER = 20
_MOST_KEYS = 1024


class Pace:
    """What each key has left. Keys that have not asked for long are forgotten."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, float]] = {}

    def taken(self, key_id: str, requests: int, *, now: float) -> float:
        """Take an answer with so many requests; 0, or after how many seconds there is room for it, and none is taken.

        Args:
            key_id: whose.
            requests: how many are asked for.
            now: seconds on a clock that only goes forward.
        """
        left, cost = self._has(key_id, now), float(_ANSWER + requests)
        if left < cost:
            return (cost - left) / A_SECOND
        self._left[key_id] = (left - cost, now)
        if len(self._left) > _MOST_KEYS:
            self._left = {each: kept for each, kept in self._left.items() if self._has(each, now) < AT_ONCE}
        return 0.0

    def _has(self, key_id: str, now: float) -> float:
        left, at = self._left.get(key_id, (AT_ONCE, now))
        return min(AT_ONCE, left + A_SECOND * (now - at))
