"""How long one answer may take, and what is said of one that takes longer."""

from services.chassis.failure import Failure
from services.config.provider import VendorProvider
from services.workers.vendor import failures


class Patience:
    """The bounds of one answer, on the loop's clock: its first content, each silence after that, and all of it."""

    def __init__(self, config: VendorProvider, *, now: float) -> None:
        self._config = config
        self.total_by = now + config.total_seconds
        self.first_by = min(now + config.first_token_seconds, self.total_by)

    def next_by(self, *, now: float) -> float:
        """When what comes next is late."""
        return min(now + self._config.idle_seconds, self.total_by)

    def over(self, *, now: float) -> bool:
        """Whether the whole answer has taken too long."""
        return now >= self.total_by

    # Which bound it was follows from the bounds, not from the clock: a timer may fire a moment before its time.

    def without_first(self) -> Failure:
        """Why an answer that has not begun by `first_by` is given up."""
        if self.first_by >= self.total_by:
            return self.without_end()
        return failures.late("first_token", self._config.first_token_seconds)

    def without_next(self, *, by: float) -> Failure:
        """Why an answer that has fallen silent until `by`, which `next_by` said, is given up."""
        return self.without_end() if by >= self.total_by else failures.late("idle", self._config.idle_seconds)

    def without_end(self) -> Failure:
        """Why an answer that is not whole by `total_by` is given up."""
        return failures.late("total", self._config.total_seconds)
