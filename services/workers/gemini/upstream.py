"""One request at the API: its answer in pieces or whole, and every way in which it fails as a failure."""

import contextlib
import time
import urllib.parse
from collections.abc import AsyncIterator, Sequence
from typing import Literal

import httpx2

from services.config.provider import GeminiProvider
from services.workers.closing import close
from services.workers.gemini.failures import from_response, from_whole
from services.workers.vendor import failures
from services.workers.vendor.upstream import beginning, media_type, plain

_ERROR_BYTES = 64 << 10

MediaType = Literal["text/event-stream", "application/json"]


class Api:
    """Where the API is, and the keys it is asked with: in a header, since addresses end up in logs."""

    def __init__(self, config: GeminiProvider, http: httpx2.AsyncClient) -> None:
        self.keys: Sequence[str] = [key.get_secret_value() for key in config.api_keys]
        self.root = f"{config.base_url.rstrip('/')}/{config.api_version}/"
        self._connect_seconds = config.connect_seconds
        self._http = http

    @contextlib.asynccontextmanager
    async def asked(
        self, key: int, model: str, method: str, body: bytes, expected: MediaType, traceparent: str = ""
    ) -> AsyncIterator[httpx2.Response]:
        """Ask, and wait for the answer to begin. Leaving closes the connection unless the answer was read to its end.

        Raises:
            Failure: what the API answered instead, or why it could not be asked.
        """
        response = await self._sent(key, f"{self.root}{resource(model)}:{method}", body, expected, traceparent)
        try:
            await self._check(response, expected)
            yield response
        finally:
            await close(response)

    async def _sent(self, key: int, url: str, body: bytes, expected: MediaType, traceparent: str) -> httpx2.Response:
        headers = {
            "x-goog-api-key": self.keys[key],
            "content-type": "application/json",
            "accept": expected,
            "accept-encoding": "identity",
        }
        if traceparent:
            headers["traceparent"] = traceparent
        try:
            # A streamed chunk costs about 90 µs of CPU from here to its event: 7 of them in Frames and Answer, most of
            # the rest in httpcore and h11 below. Through the SDK's typed chunks it costs 250.
            return await self._http.send(
                self._http.build_request("POST", url, content=body, headers=headers), stream=True
            )
        except httpx2.TimeoutException:
            failure = failures.late("connect", self._connect_seconds)  # the transport has no other timeout
        except httpx2.HTTPError:
            failure = failures.unavailable("could not be reached, or broke the connection")
        raise failure  # not chained: the exception holds the request, and that our key

    async def _check(self, response: httpx2.Response, expected: MediaType) -> None:
        if response.status_code == 200 and media_type(response) == expected and plain(response):
            return
        said = await beginning(response, most_bytes=_ERROR_BYTES)
        if response.status_code != 200:
            raise from_response(response.status_code, response.headers, said, keys=self.keys, now=time.time())
        # Some proxies say 200 and mean an error.
        raise from_whole(said, keys=self.keys) or failures.malformed(f"something other than {expected}")


def resource(model: str) -> str:
    """The path of a model: names without a collection are of `models`."""
    path = model if "/" in model else f"models/{model}"
    return urllib.parse.quote(path, safe="/")
