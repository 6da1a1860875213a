"""An answer that has begun to arrive, and every way in which its connection fails as a failure."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Self

import aiohttp

from services.workers.vendor import failures
from services.workers.vendor.watch import Watch

# The last chunk of the transport usually comes with the last event. Waiting for it keeps the connection for others.
_GOODBYE_SECONDS = 0.05


class Upstream:
    """The body of a response, piece by piece; a context, within which it may be read."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._content = response.content
        self._watch = Watch(response.close, asyncio.get_running_loop())  # whoever reads then is told at once

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.close()

    async def read(self, *, by: float) -> bytes:
        """What arrives next, by a moment on the loop's clock; nothing at the end.

        Raises:
            TimeoutError: when nothing has come by then. There is no more to read.
            Failure: PROVIDER_UNAVAILABLE, when the connection breaks.
        """
        self._watch.begin(by=by)
        try:
            return await self._content.readany()
        except aiohttp.ClientError as error:
            if self._watch.rang:
                raise TimeoutError from None
            unread = self._unread(error)
            if unread:
                return unread
            failure = failures.unavailable("broke the connection")
        finally:
            self._watch.end()
        raise failure  # not chained: the exception holds the request, and that our key

    def _unread(self, error: aiohttp.ClientError) -> bytes:
        """What had arrived before the connection broke, and was not read yet. The error remains."""
        self._content.set_exception(None)  # type: ignore[arg-type]  # with one it gives nothing out
        unread = self._content.read_nowait()
        self._content.set_exception(error)
        return unread

    async def part(self) -> None:
        """Take leave of a server that has said its last."""
        with contextlib.suppress(TimeoutError, aiohttp.ClientError):
            if not self._content.is_eof():
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    async for _ in self._content.iter_any():
                        pass


def plain(response: aiohttp.ClientResponse) -> bool:
    """Whether the body comes as it is, and not packed."""
    return response.headers.get("content-encoding", "identity").strip().lower() in ("", "identity")


def media_type(response: aiohttp.ClientResponse) -> str:
    """The content type without its parameters."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


async def beginning(response: aiohttp.ClientResponse, *, most_bytes: int) -> bytes:
    """The first bytes of a body, packed or not.

    Raises:
        Failure: PROVIDER_UNAVAILABLE, when the connection breaks.
    """
    read = b""
    with _broken_connections():
        async for part in response.content.iter_any():
            read += part
            if len(read) >= most_bytes:
                break
    return read[:most_bytes]


async def whole(response: aiohttp.ClientResponse, *, most_bytes: int, by: float) -> bytes:
    """The body, by a moment on the loop's clock.

    Raises:
        TimeoutError: when it has not come by then.
        Failure: PROVIDER_UNAVAILABLE, when the connection breaks; PROVIDER_MALFORMED, when it is larger or packed.
    """
    if not plain(response):
        raise failures.malformed("an answer that is packed, which was not asked for")
    parts: list[bytes] = []
    size = 0
    with _broken_connections():
        async with asyncio.timeout_at(by):
            async for part in response.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > most_bytes:
                    raise failures.malformed(f"an answer of more than {most_bytes >> 20} MiB")
    return b"".join(parts)


@contextlib.contextmanager
def _broken_connections() -> Iterator[None]:
    try:
        yield
    except aiohttp.ClientError:
        failure = failures.unavailable("broke the connection")
    else:
        return
    raise failure
