"""Asking with one key after the other, until one gets as far as the first content."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import structlog
from hybridinference.inference.v1 import provider_try_pb2 as provider_try

from services.chassis.deadline import to_duration
from services.chassis.failure import Failure
from services.workers.provider import AttemptContext
from services.workers.vendor.keys import KeyPool

LOG = structlog.get_logger()

T = TypeVar("T")


@contextlib.asynccontextmanager
async def answered(
    pool: KeyPool, context: AttemptContext, asked: Callable[[int], AbstractAsyncContextManager[T]]
) -> AsyncIterator[T]:
    """What `asked` gives for the first key whose context can be entered; left again with this context.

    Args:
        pool: the keys of the model.
        context: hears of each try.
        asked: a context for the number of a key. Entering it asks, and waits for the first content; leaving it closes
            the connection. It must emit nothing while it is being entered.

    Raises:
        Failure: of the last key that was asked, or what is to be said when every key is left alone.
    """
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        failure: Failure | None = None
        for number in pool.turn(tenant=context.tenant, now=loop.time()):
            begun = loop.time()
            try:
                answer = await stack.enter_async_context(asked(number))
            except Failure as caught:
                failure = caught
            else:
                break
            context.tries.append(_try(number, failure, loop.time() - begun))
            if not pool.blame(number, failure, now=loop.time()):
                raise failure
            LOG.warning("key.failed", key=number, reason=failure.reason_name)
        else:
            assert failure is not None  # a turn has at least one key
            raise pool.verdict(failure, now=loop.time())
        yield answer


def _try(key: int, failure: Failure, seconds: float) -> provider_try.ProviderTry:
    return provider_try.ProviderTry(
        key=key,
        reason=failure.reason,
        http_status=int(failure.metadata.get("http_status", 0)),
        duration=to_duration(seconds),
    )
