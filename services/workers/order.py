"""What comes with a spec to a worker."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.deadline import Deadline
from services.chassis.failure import Failure
from services.workers.provider import AttemptContext


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """Whose it is, how long it may take, and what may be left out.

    Attributes:
        deadline: when the attempt ends, whatever it has come to.
        context: what the provider is told, and reports.
        attempt_id: for logs; may be empty.
        generation_id: likewise.
        drop_unsupported: whether parameters that the model does not have are left out.
        traceparent: W3C trace context; empty where there is none.
        prefix_hashes: keyed hashes of the prompt's leading blocks, which routers are told of.
    """

    deadline: Deadline
    context: AttemptContext = dataclasses.field(default_factory=AttemptContext)
    attempt_id: str = ""
    generation_id: str = ""
    traceparent: str = ""
    drop_unsupported: bool = False
    prefix_hashes: Sequence[int] = ()

    @contextlib.asynccontextmanager
    async def in_time(self, message: str, stage: Callable[[], str]) -> AsyncIterator[None]:
        """Fail what runs inside at the deadline, in these words and at the stage that it has come to by then."""
        scope = asyncio.timeout_at(self.deadline.at)
        try:
            async with scope:
                yield
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise Failure(reasons.ERROR_REASON_DEADLINE_EXCEEDED, message, stage=stage()) from error
