"""The HTTP client of every vendor: reaches the configured server alone, over connections that are kept."""

import contextlib
import io
from collections.abc import AsyncIterator, Mapping

import aiohttp
import httpx2

from services.config.provider import VendorProvider
from services.workers.vendor import failures
from services.workers.vendor.proxy import proxy_of

_IDLE_SECONDS = 30.0
# As much of an answer as waits for a reader who is slower than the server; above it the connection is read no further.
_UNREAD_BYTES = 64 << 10
# Of one header, and how many there may be; gateways before vendors write long ones.
_LONGEST_HEADER_BYTES = 32 << 10
_MOST_HEADERS = 256
# A longer body is sent in pieces, so that streams beside it do not stand still.
_LARGE_BYTES = 1 << 20
_HEADERS = {
    "content-type": "application/json",
    # What is packed may unpack to very much.
    "accept-encoding": "identity",
    "user-agent": "hybridinference",
}


@contextlib.asynccontextmanager
async def open_client(config: VendorProvider, *, url: str) -> AsyncIterator["Client"]:
    """A client for a vendor at an address, without cookies and redirects.

    Proxies and certificates from the environment count where that is configured. How long an answer may take is watched
    by whoever reads it.
    """
    trust = httpx2.create_ssl_context(trust_env=config.proxy_from_environment)
    trust.set_alpn_protocols(["http/1.1"])
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=trust, keepalive_timeout=_IDLE_SECONDS),
        # All of it: the look-up of the name, each address, TLS, a proxy.
        timeout=aiohttp.ClientTimeout(total=None, connect=config.connect_seconds),
        headers=_HEADERS,
        # What a vendor hands out with one key, and to one caller, does not come back with another.
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        # The session would look for passwords, too.
        trust_env=False,
        proxy=proxy_of(url) if config.proxy_from_environment else None,
        read_bufsize=_UNREAD_BYTES,
        max_line_size=_LONGEST_HEADER_BYTES,
        max_field_size=_LONGEST_HEADER_BYTES,
        max_headers=_MOST_HEADERS,
    ) as session:
        yield Client(session, connect_seconds=config.connect_seconds)


class Client:
    """Posts to one vendor."""

    def __init__(self, session: aiohttp.ClientSession, *, connect_seconds: float) -> None:
        self._session = session
        self._connect_seconds = connect_seconds

    @contextlib.asynccontextmanager
    async def posted(self, url: str, body: bytes, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Post JSON, and wait for the answer to begin. Leaving closes the connection unless it was read to its end.

        Raises:
            Failure: DEADLINE_EXCEEDED, when no connection is there in time; PROVIDER_UNAVAILABLE, when there is none,
                or it breaks.
        """
        response = await self._response(url, body, headers)
        try:
            yield response
        finally:
            response.close()

    async def _response(self, url: str, body: bytes, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        data = body if len(body) < _LARGE_BYTES else io.BytesIO(body)
        try:
            return await self._session.post(url, data=data, headers=headers, allow_redirects=False)
        except aiohttp.ConnectionTimeoutError:
            failure = failures.late("connect", self._connect_seconds)
        except aiohttp.ClientError:
            failure = failures.unavailable("could not be reached, or broke the connection")
        raise failure  # not chained: the exception holds the request, and that our key
