"""Waiting for what another process or thread does."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable


async def eventually(true: Callable[[], bool | Awaitable[bool]]) -> None:
    """Ask again until it is so, for at most 20 s."""
    async with asyncio.timeout(20):
        while not (await answer if inspect.isawaitable(answer := true()) else answer):  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.01)
