"""One request at the API: its answer in pieces or whole, and every way in which it fails as a failure."""

import contextlib
import time
import urllib.parse
from collections.abc import AsyncIterator, Sequence
from typing import Literal

import aiohttp

from services.config.provider import GeminiProvider
from services.workers.gemini.failures import from_response, from_whole
from services.workers.vendor import failures
from services.workers.vendor.transport import Client
from services.workers.vendor.upstream import beginning, media_type, plain

_ERROR_BYTES = 64 << 10

MediaType = Literal["text/event-stream", "application/json"]


class Api:
    """Where the API is, and the keys it is asked with: in a header, since addresses end up in logs."""

    def __init__(self, config: GeminiProvider, client: Client) -> None:
        self.keys: Sequence[str] = [key.get_secret_value() for key in config.api_keys]
        self.root = f"{config.base_url.rstrip('/')}/{config.api_version}/"
        self._client = client

    @contextlib.asynccontextmanager
    async def asked(
        self, key: int, model: str, method: str, body: bytes, expected: MediaType, traceparent: str = ""
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask, and wait for the answer to begin. Leaving closes the connection unless the answer was read to its end.

        Raises:
            Failure: what the API answered instead, or why it could not be asked.
        """
        headers = {"x-goog-api-key": self.keys[key], "accept": expected}
        if traceparent:
            headers["traceparent"] = traceparent
        async with self._client.posted(f"{self.root}{resource(model)}:{method}", body, headers) as response:
            await self._check(response, expected)
            yield response

    async def _check(self, response: aiohttp.ClientResponse, expected: MediaType) -> None:
        if response.status == 200 and media_type(response) == expected and plain(response):
            return
        said = await beginning(response, most_bytes=_ERROR_BYTES)
        if response.status != 200:
            raise from_response(response.status, response.headers, said, keys=self.keys, now=time.time())
        # Some proxies say 200 and mean an error.
        raise from_whole(said, keys=self.keys) or failures.malformed(f"something other than {expected}")


def resource(model: str) -> str:
    """The path of a model: names without a collection are of `models`."""
    path = model if "/" in model else f"models/{model}"
    return urllib.parse.quote(path, safe="/")
