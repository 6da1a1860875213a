"""Closing what came over HTTP, also when the task that does it is cancelled."""

import asyncio

import httpx2

# Closing a connection takes no time; whoever is cancelled waits no longer for it.
_SECONDS = 1.0


async def close(response: httpx2.Response) -> None:
    """Close a response.

    A close that is cancelled halfway counts as done for the transport, which then keeps the request for ever.
    """
    closing = asyncio.ensure_future(response.aclose())
    try:
        await asyncio.shield(closing)
    except asyncio.CancelledError:
        await asyncio.wait([closing], timeout=_SECONDS)
        raise
