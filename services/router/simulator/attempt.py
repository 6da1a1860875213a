"""One attempt, between the gateway that started it and the worker that runs it."""

from typing import Protocol

from google.rpc import status_pb2

from services.router.simulator.traffic.request import Request


class Attempt:
    """An attempt under way.

    Attributes:
        request: what it is an attempt at.
        number: which attempt of the request, from 1.
        router: the position of the router that placed it.
        attempt_id: the lease's id.
        worker: the name of the worker that it went to.
        started_at: when the gateway began it.
        first_at: when its first token reached the gateway; negative before.
        hit_tokens: prompt tokens found cached, as the worker told.
        output_tokens: tokens that it has brought, once it has ended.
        billed: whether its tokens cost what they cost.
        ended: whether the gateway takes nothing of it any more.
    """

    __slots__ = (
        "attempt_id",
        "billed",
        "ended",
        "first_at",
        "hit_tokens",
        "number",
        "output_tokens",
        "request",
        "router",
        "started_at",
        "worker",
    )

    def __init__(self, request: Request, number: int, router: int, attempt_id: str, worker: str, at: float) -> None:
        self.request = request
        self.number = number
        self.router = router
        self.attempt_id = attempt_id
        self.worker = worker
        self.started_at = at
        self.first_at = -1.0
        self.hit_tokens = 0
        self.output_tokens = 0
        self.ended = False
        self.billed = False


class Callers(Protocol):
    """Whoever waits for what becomes of attempts. Told when it reaches the gateway, after the network's delay."""

    def on_first_token(self, attempt: Attempt) -> None:
        """The first token has come."""

    def on_end(self, attempt: Attempt, status: status_pb2.Status) -> None:
        """It is over."""
