"""Where requests of both faces come together: accepted or refused here, then carried as generations."""

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis import ids
from services.chassis.failure import Failure
from services.gateway.call import Call
from services.gateway.generation import Generation
from services.gateway.placement import Placements
from services.gateway.recorder import Recorder
from services.gateway.session import Sessions
from services.gateway.validate import validate


class Relay:
    """Accepts generations. Both faces stand on it."""

    def __init__(self, placements: Placements, sessions: Sessions, recorder: Recorder, *, max_running: int) -> None:
        self._placements = placements
        self._sessions = sessions
        self._recorder = recorder
        self._room = max_running

    def begin(self, call: Call) -> Generation:
        """Accept a request.

        Raises:
            Failure: SPEC_INVALID; FLEET_SATURATED when too much is under way here; ACCOUNTING_UNAVAILABLE.
        """
        validate(call.spec)
        if self._room <= 0:
            raise Failure(
                reasons.ERROR_REASON_FLEET_SATURATED,
                "Too many requests are under way at this gateway.",
                retry_after=1.0,
            )
        entry = self._recorder.begin(ids.new_id(), call)
        self._room -= 1
        return Generation(entry, self._placements, self._sessions, self._recorder, self._left)

    def _left(self) -> None:
        self._room += 1
