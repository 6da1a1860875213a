"""Where requests of both faces come together: accepted or refused here, then carried to workers."""

import asyncio
import time

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis import ids
from services.chassis.failure import Failure
from services.gateway.call import Call, Spec
from services.gateway.channels import Channels
from services.gateway.embedding import Embedding
from services.gateway.entry import Entry
from services.gateway.generation import Generation
from services.gateway.identity.grant import Limits
from services.gateway.placement import Placements
from services.gateway.quota.estimates import Estimates
from services.gateway.quota.quota import Quota
from services.gateway.quota.reservation import Need
from services.gateway.recorder import Recorder
from services.gateway.session import Sessions
from services.gateway.shadowing import Shadows
from services.gateway.validate import validate, validate_embedding

_NONE = Limits()
_NOTHING = Need(tokens=0, cost_nano_usd=0)


class Relay:
    """Accepts requests. Both faces stand on it."""

    def __init__(
        self,
        placements: Placements,
        sessions: Sessions,
        channels: Channels,
        shadows: Shadows,
        recorder: Recorder,
        quota: Quota,
        *,
        max_running: int,
        show_worker: bool,
        estimates: Estimates,
    ) -> None:
        self._placements = placements
        self._sessions = sessions
        self._channels = channels
        self._shadows = shadows
        self._recorder = recorder
        self._quota = quota
        self._estimates = estimates
        self._room = self._max_running = max_running
        self._show_worker = show_worker

    @property
    def show_worker(self) -> bool:
        """Whether callers may know which worker served them."""
        return self._show_worker

    def reconfigure(self, *, max_running: int, max_shadows: int, show_worker: bool, estimates: Estimates) -> None:
        """Accept so many from now on. What is under way goes on, though it may be more."""
        self._shadows.reconfigure(most=max_shadows)
        self._estimates = estimates
        self._room += max_running - self._max_running
        self._max_running = max_running
        self._show_worker = show_worker

    async def begin(self, call: Call[generation.GenerationSpec]) -> Generation:
        """Accept a request for a generation.

        Raises:
            Failure: SPEC_INVALID; FLEET_SATURATED when too much is under way here; ACCOUNTING_UNAVAILABLE; and of the
                caller's key PERMISSION_DENIED, RATE_LIMITED, QUOTA_EXHAUSTED.
        """
        with self._recorder.refusing(call):
            validate(call.spec)
            entry = await self._accepted(call)
        return Generation(
            entry,
            self._placements,
            self._sessions,
            self._shadows,
            self._recorder,
            self._left,
            show_worker=self._show_worker,
        )

    async def embed(self, call: Call[embedding.EmbeddingSpec]) -> Embedding:
        """Accept a request for an embedding.

        Raises:
            Failure: as `begin`.
        """
        with self._recorder.refusing(call):
            validate_embedding(call.spec)
            entry = await self._accepted(call)
        return Embedding(
            entry,
            self._placements,
            self._channels,
            self._recorder,
            self._left,
            show_worker=self._show_worker,
        )

    async def _accepted(self, call: Call[Spec]) -> Entry:
        if self._room <= 0:
            raise Failure(
                reasons.ERROR_REASON_FLEET_SATURATED,
                "Too many requests are under way at this gateway.",
                retry_after=1.0,
            )
        self._room -= 1
        try:
            # One time for both: what is set aside in a period is what the ledger has for it.
            received_at = time.time()
            reservation = await self._quota.reserve(
                call.grant, self._need(call), at=received_at, until=call.deadline.at
            )
            try:
                return self._recorder.begin(ids.new_id(), call, reservation, received_at, self._estimates)
            except BaseException:
                reservation.cancel()
                raise
        except BaseException:
            self._room += 1
            raise

    def _need(self, call: Call[Spec]) -> Need:
        """The most that it may take of its key's limits."""
        limits = call.grant.limits
        if limits == _NONE:
            return _NOTHING
        priced = limits.usd_per_day is not None or limits.usd_per_month is not None
        left = call.deadline.left(now=asyncio.get_running_loop().time())
        return self._estimates.need(call.spec, left, priced=priced, providers=call.grant.providers)

    def _left(self) -> None:
        self._room += 1
