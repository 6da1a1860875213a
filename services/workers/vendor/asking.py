"""Asking with one key after the other, until one gets as far as the first content."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import structlog
from hybridinference.inference.v1 import provider_try_pb2 as provider_try

from services.chassis.deadline import to_duration
from services.chassis.failure import Failure
from services.workers.provider import AttemptContext
from services.workers.vendor.failures import Answered
from services.workers.vendor.keys import KeyPool, outcome
from services.workers.vendor.limiter import Outcome

LOG = structlog.get_logger()

T = TypeVar("T")


@contextlib.asynccontextmanager
async def answered(
    pool: KeyPool, context: AttemptContext, asked: Callable[[int], AbstractAsyncContextManager[T]]
) -> AsyncIterator[T]:
    """What `asked` gives for the first key whose context can be entered; left again with this context.

    A place with the key is held from before it is asked until the answer is closed.

    Args:
        pool: the keys of the model.
        context: says who asks, and hears of each try.
        asked: a context for the number of a key. Entering it asks, and waits for the first content; leaving it closes
            the connection. It must emit nothing while it is being entered.

    Raises:
        Failure: of the last key that was asked, or what is to be said when no key may be.
    """
    clock = asyncio.get_running_loop().time
    failure: Failure | None = None
    for number in pool.turn(tenant=context.tenant, now=clock()):
        begun, entered = clock(), False
        try:
            with _place(pool, number):
                async with asked(number) as answer:
                    entered = True
                    yield answer
                    return
        except Failure as caught:
            if entered:
                pool.blame(number, caught, now=clock())  # too late for this request; others need not find out again
                raise
            failure = caught
        context.tries.append(_try(number, failure, clock() - begun))
        if not pool.blame(number, failure, now=clock()):
            raise failure
        LOG.warning("key.failed", key=number, reason=failure.reason_name)
    assert failure is not None  # a turn has at least one key
    raise pool.verdict(failure, now=clock())


@contextlib.contextmanager
def _place(pool: KeyPool, number: int) -> Iterator[None]:
    """Hold a place with a key, and tell its limiter what came of it."""
    clock = asyncio.get_running_loop().time
    lease = pool.lease(number, now=clock())
    came = Outcome.OTHER
    try:
        yield
        came = Outcome.WELL
    except Failure as failure:
        came = outcome(failure)
        raise
    finally:
        lease.end(came, now=clock())


def _try(key: int, failure: Failure, seconds: float) -> provider_try.ProviderTry:
    return provider_try.ProviderTry(
        key=key,
        reason=failure.reason,
        http_status=failure.http_status if isinstance(failure, Answered) else 0,
        duration=to_duration(seconds),
    )
