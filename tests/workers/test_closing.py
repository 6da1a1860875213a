"""Closing what came over HTTP."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from services.workers.closing import close


class _Closing(httpx2.AsyncByteStream):
    """A body that takes a moment to close."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may = asyncio.Event()
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b""

    async def aclose(self) -> None:
        self.asked.set()
        await self.may.wait()
        self.closed = True


async def test_whoever_is_cancelled_while_closing_still_closes() -> None:
    body = _Closing()
    task = asyncio.create_task(close(httpx2.Response(200, stream=body)))
    await body.asked.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    body.may.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert body.closed


async def test_closing_ends_at_once_where_nobody_is_cancelled() -> None:
    body = _Closing()
    body.may.set()
    await close(httpx2.Response(200, stream=body))
    assert body.closed
