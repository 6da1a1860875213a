"""The HTTP client below the SDK: reaches the configured server alone, and reads little of what it says of errors."""

from collections.abc import AsyncIterator
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from services.config.provider import VendorProvider

# More than any server says in an error; the SDK reads the whole of it.
_LONGEST_ERROR_BYTES = 64 << 10


def new_client(config: VendorProvider) -> httpx2.AsyncClient:
    """A client without redirects, and without proxies and certificates from the environment unless configured."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30.0)
    # How long an answer may take is watched by whoever reads it.
    timeout = httpx2.Timeout(None, connect=config.connect_seconds)
    client = httpx2.AsyncClient(
        timeout=timeout,
        limits=limits,
        trust_env=config.proxy_from_environment,
        follow_redirects=False,
        # What a vendor hands out with one key, and to one caller, does not come back with another.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )
    client.event_hooks = {"response": [_short_errors]}
    return client


async def _short_errors(response: httpx2.Response) -> None:
    if response.is_success:
        return
    # Whatever it is packed in stays packed: a few bytes may unpack to very many.
    response.headers.pop("content-encoding", None)
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = _Beginning(response.stream)


class _Beginning(httpx2.AsyncByteStream):
    """The first bytes of a stream, as if there were no more."""

    def __init__(self, whole: httpx2.AsyncByteStream) -> None:
        self._whole = whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = _LONGEST_ERROR_BYTES
        async for part in self._whole:
            yield part[:left]
            left -= len(part)
            if left <= 0:
                return

    async def aclose(self) -> None:
        await self._whole.aclose()
