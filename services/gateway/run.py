"""One attempt at a request, from its placement to its end."""

import contextlib
import time
from collections.abc import Sequence

from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import provider_try_pb2 as provider_try
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.failure import Failure
from services.gateway.attempt import Attempt

# How much of a stream may pass uncounted when this process is lost.
_TOKENS, _SECONDS = 64, 2.0


class Run:
    """One attempt's placement, record and use, and what its worker asked of the provider in vain.

    `attempt` is what runs on a session, once it does; what is entered into `held` is left when the run is closed.
    `begun_at` and `ended_at` are by the event loop's clock. `started` is whether its worker was asked.
    """

    def __init__(self, placed: placement.Placement, begun_at: float, record: ledger.AttemptRecord) -> None:
        self.placed = placed
        self.begun_at = begun_at
        self.record = record
        self.first_content_at: float | None = None
        self.usage: generation.Usage | None = None
        self.started = False
        self.finished = False
        self.ended_at: float | None = None
        self.tries: Sequence[provider_try.ProviderTry] = ()
        self.attempt: Attempt | None = None
        self.held = contextlib.ExitStack()
        self._counted, self._counted_at = 0, begun_at

    def close(self) -> Failure | None:
        """End it on its session if it has not ended. Why it had, where it failed."""
        if self.attempt is None:
            return None
        self.held.close()
        self.tries = self.attempt.tries
        return self.attempt.failure

    def ends(self, now: float) -> None:
        """It is over, or has nothing more to say. What it takes from now on counts for nobody."""
        if self.ended_at is None:
            self.ended_at = max(now, self.begun_at)

    @property
    def seconds(self) -> float:
        """From its placement to its end; 0 before that."""
        return 0.0 if self.ended_at is None else self.ended_at - self.begun_at

    def has_content(self) -> None:
        """Its first content is there."""
        self.first_content_at = time.time()

    def count(self, ready: Sequence[generation.GenerationEvent]) -> None:
        """Count tokens as they pass, for attempts that end without telling."""
        tokens = sum([event.delta.tokens for event in ready])  # 0 of an event that is no delta
        if tokens:
            if self.usage is None:
                self.usage = generation.Usage(estimated=True)
            self.usage.output_tokens += tokens

    def counted(self, *, now: float) -> bool:
        """Whether what was counted is to be written down: so many tokens have passed since, or any for so long."""
        tokens = self.usage.output_tokens if self.usage is not None else 0
        if tokens - self._counted < _TOKENS and (now - self._counted_at < _SECONDS or tokens == self._counted):
            return False
        self._counted, self._counted_at = tokens, now
        return True
