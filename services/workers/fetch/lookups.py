"""Looking up hosts, a few at once."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

# The addresses of a host, given with a port.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

# Nothing ends a lookup in the system's resolver, and it has four threads for the whole process (libuv's). Names whose
# servers do not answer must not take all of them from those who look for the provider.
_AT_ONCE = 2


async def resolve(host: str, port: int) -> list[str]:
    """What the system knows of a host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@contextlib.asynccontextmanager
async def open_lookups(resolving: Resolve) -> AsyncIterator["Lookups"]:
    """Lookups; nothing waits for one any more afterwards."""
    lookups = Lookups(resolving)
    try:
        yield lookups
    finally:
        await lookups.close()


class Lookups:
    """Looks up hosts. One that nobody waits for any more keeps its place until it has really ended."""

    def __init__(self, resolving: Resolve) -> None:
        self._resolve = resolving
        self._running: set[asyncio.Task[Sequence[str]]] = set()
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host; none where nobody knows it."""
        await self._room.acquire()
        lookup = asyncio.create_task(self._found(host, port))
        self._running.add(lookup)
        lookup.add_done_callback(self._ended)
        return await asyncio.shield(lookup)

    async def close(self) -> None:
        """Wait for none any more."""
        running = list(self._running)
        for lookup in running:
            lookup.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _found(self, host: str, port: int) -> Sequence[str]:
        try:
            return await self._resolve(host, port)
        except (OSError, UnicodeError):
            return ()

    def _ended(self, lookup: "asyncio.Task[Sequence[str]]") -> None:
        self._running.discard(lookup)
        self._room.release()
