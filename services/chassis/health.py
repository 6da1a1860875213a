"""The health service, which knows who asks and who has heard that this process takes no more work."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

# Longer than any checker's interval and patience: who has asked since then is going to ask again.
_RECENT_SECONDS = 5.0
# A checker believes a second answer of that kind (Envoy's `unhealthy_threshold`, see infrastructure/envoy).
_TELLINGS = 2


class Health(HealthServicer):
    """`grpc.health.v1` with a memory of those who asked by `Check`. Watchers are told at once, and not waited for."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._asked: dict[str, float] = {}
        self._waiting: dict[str, int] = {}  # tellings that are left, of those who are waited for
        self._heard = asyncio.Event()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        """As the standard says."""
        answer: health_pb2.HealthCheckResponse = await super().Check(request, context)
        now, peer = self._clock(), context.peer()
        self._asked = {each: at for each, at in self._asked.items() if at > now - _RECENT_SECONDS}
        self._asked[peer] = now
        if self._waiting.get(peer):
            self._waiting[peer] -= 1
            if not any(self._waiting.values()):
                self._heard.set()
        return answer

    async def retire(self) -> None:
        """Say NOT_SERVING for good, and return once everybody who has lately asked has heard it often enough."""
        await self.enter_graceful_shutdown()
        since = self._clock() - _RECENT_SECONDS
        self._waiting = {peer: _TELLINGS for peer, at in self._asked.items() if at > since}
        if self._waiting:
            await self._heard.wait()
