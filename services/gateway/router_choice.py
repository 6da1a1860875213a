"""Which of several routers a gateway keeps to."""

import math
from collections.abc import Collection, Sequence

# The preferred router is gone back to once it has been well for so long, and longer each time that this was too early.
HOME_SECONDS = 10.0
_HOME_MAX_SECONDS = 320.0


def preference(routers: Sequence[str], number: int, beside: Collection[str]) -> tuple[str, ...]:
    """The routers in the order in which a gateway prefers them: those of its own host first, then all others.

    Gateways begin at different ones, so that they spread over the routers by themselves.

    Args:
        routers: names of all routers.
        number: the gateway's place among the gateways, from 0.
        beside: names of processes on the gateway's own host.
    """
    near = [name for name in routers if name in beside]
    far = [name for name in routers if name not in beside]
    return (*_turned(near, number), *_turned(far, number))


def _turned(names: list[str], number: int) -> list[str]:
    start = number % len(names) if names else 0
    return names[start:] + names[:start]


class RouterChoice:
    """Keeps to one of `count` routers, by their place in the order of preference. Time is an argument.

    Attributes:
        current: the one to keep to.
    """

    def __init__(self, count: int) -> None:
        self.current = 0
        self._well_since: list[float | None] = [None] * count
        self._lost_at = [-math.inf] * count
        self._home_seconds = HOME_SECONDS
        self._back_at = -math.inf

    @property
    def alone(self) -> bool:
        """Whether there is nobody to turn to: each one was lost, and has not been well since."""
        if len(self._lost_at) == 1:
            return self._well_since[0] is None
        return all(
            since is None and lost > -math.inf for since, lost in zip(self._well_since, self._lost_at, strict=True)
        )

    def on_well(self, router: int, now: float) -> None:
        """It has answered."""
        if self._well_since[router] is None:
            self._well_since[router] = now

    def on_lost(self, router: int, now: float) -> None:
        """It cannot be reached, is silent, or takes no work. Where it was the current one, another one is."""
        self._well_since[router] = None
        self._lost_at[router] = now
        if router != self.current:
            return
        early = now - self._back_at < self._home_seconds
        self._home_seconds = min(2 * self._home_seconds, _HOME_MAX_SECONDS) if early else HOME_SECONDS
        others = [other for other in range(len(self._lost_at)) if other != router]
        well = [other for other in others if self._well_since[other] is not None]
        if well:
            self.current = well[0]
        elif others:
            # Whoever has been left alone for longest may be back.
            self.current = min(others, key=self._lost_at.__getitem__)

    def look(self, now: float) -> None:
        """Time has passed: one that is preferred may have been well for long enough."""
        for router in range(self.current):
            since = self._well_since[router]
            if since is not None and now - since >= self._home_seconds:
                self.current = router
                self._back_at = now
                return
