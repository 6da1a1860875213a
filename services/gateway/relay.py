"""Where requests of both faces come together: accepted or refused here, then carried to workers."""

from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis import ids
from services.chassis.failure import Failure
from services.gateway.call import Call, Spec
from services.gateway.channels import Channels
from services.gateway.embedding import Embedding
from services.gateway.generation import Generation
from services.gateway.placement import Placements
from services.gateway.quota.quota import Quota
from services.gateway.quota.reservation import Need
from services.gateway.recorder import Entry, Recorder
from services.gateway.session import Sessions
from services.gateway.shadowing import Shadows
from services.gateway.validate import validate, validate_embedding


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
    ) -> None:
        self._placements = placements
        self._sessions = sessions
        self._channels = channels
        self._shadows = shadows
        self._recorder = recorder
        self._quota = quota
        self._room = self._max_running = max_running
        self._show_worker = show_worker

    @property
    def show_worker(self) -> bool:
        """Whether callers may know which worker served them."""
        return self._show_worker

    def reconfigure(self, *, max_running: int, max_shadows: int, show_worker: bool) -> None:
        """Accept so many from now on. What is under way goes on, though it may be more."""
        self._shadows.reconfigure(most=max_shadows)
        self._room += max_running - self._max_running
        self._max_running = max_running
        self._show_worker = show_worker

    async def begin(self, call: Call[generation.GenerationSpec]) -> Generation:
        """Accept a request for a generation.

        Raises:
            Failure: SPEC_INVALID; FLEET_SATURATED when too much is under way here; ACCOUNTING_UNAVAILABLE; and of the
                caller's key PERMISSION_DENIED, RATE_LIMITED, QUOTA_EXHAUSTED.
        """
        validate(call.spec)
        return Generation(
            await self._accepted(call),
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
        validate_embedding(call.spec)
        return Embedding(
            await self._accepted(call),
            self._placements,
            self._channels,
            self._recorder,
            self._left,
            show_worker=self._show_worker,
        )

    async def _accepted(self, call: Call[Spec]) -> Entry:
        need = self._need(call)
        if self._room <= 0:
            raise Failure(
                reasons.ERROR_REASON_FLEET_SATURATED,
                "Too many requests are under way at this gateway.",
                retry_after=1.0,
            )
        self._room -= 1
        try:
            reservation = await self._quota.reserve(call.grant, need)
            try:
                return self._recorder.begin(ids.new_id(), call, reservation)
            except BaseException:
                reservation.settle(0, 0)
                raise
        except BaseException:
            self._room += 1
            raise

    def _need(self, call: Call[Spec]) -> Need:
        """The most that it may take of its key's limits."""
        return Need(tokens=0, cost_nano_usd=0)

    def _left(self) -> None:
        self._room += 1
