"""An answer that has begun to arrive, and every way in which its connection fails as a failure."""

import asyncio
import contextlib
from collections.abc import Iterator

import httpx2

from services.workers.vendor import failures

# The last chunk of the transport usually comes with the last event. Waiting for it keeps the connection for others.
_GOODBYE_SECONDS = 0.05


class Upstream:
    """The body of a response, piece by piece."""

    def __init__(self, response: httpx2.Response) -> None:
        self._parts = response.aiter_raw()

    async def read(self, *, by: float) -> bytes:
        """What arrives next, by a moment on the loop's clock; nothing at the end.

        Raises:
            TimeoutError: when nothing has come by then.
            Failure: PROVIDER_UNAVAILABLE, when the connection breaks.
        """
        try:
            async with asyncio.timeout_at(by):
                return await anext(self._parts)
        except StopAsyncIteration:
            return b""
        except httpx2.HTTPError:
            failure = failures.unavailable("broke the connection")
        raise failure  # not chained: the exception holds the request, and that our key

    async def part(self) -> None:
        """Take leave of a server that has said its last."""
        with contextlib.suppress(TimeoutError, httpx2.HTTPError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                async for _ in self._parts:
                    pass


def plain(response: httpx2.Response) -> bool:
    """Whether the body comes as it is, and not packed."""
    return response.headers.get("content-encoding", "identity").strip().lower() in ("", "identity")


def media_type(response: httpx2.Response) -> str:
    """The content type without its parameters."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


async def beginning(response: httpx2.Response, *, most_bytes: int) -> bytes:
    """The first bytes of a body.

    Raises:
        Failure: PROVIDER_UNAVAILABLE, when the connection breaks.
    """
    read = b""
    with _broken_connections():
        async for part in response.aiter_raw():
            read += part
            if len(read) >= most_bytes:
                break
    return read


async def whole(response: httpx2.Response, *, most_bytes: int, by: float) -> bytes:
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
            async for part in response.aiter_raw():
                parts.append(part)
                size += len(part)
                if size > most_bytes:
                    raise failures.malformed(f"an answer of more than {most_bytes >> 20} MiB")
    return b"".join(parts)


@contextlib.contextmanager
def _broken_connections() -> Iterator[None]:
    try:
        yield
    except httpx2.HTTPError:
        failure = failures.unavailable("broke the connection")
    else:
        return
    raise failure
