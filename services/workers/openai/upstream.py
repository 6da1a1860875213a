"""One request at the server: its answer in pieces, and every way in which it fails as a failure."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Literal

import aiohttp

from services.config.provider import OpenAIProvider
from services.workers.openai.failures import from_response, from_whole
from services.workers.vendor import failures
from services.workers.vendor.transport import Client
from services.workers.vendor.upstream import beginning, media_type, plain

_ERROR_BYTES = 64 << 10
_OK = range(200, 300)

MediaType = Literal["text/event-stream", "application/json"]

# Hears the headers of every answer.
Heard = Callable[[Mapping[str, str]], None]


class Server:
    """Where the server is, and the keys it is asked with."""

    def __init__(self, config: OpenAIProvider, client: Client) -> None:
        self.keys: Sequence[str] = [key.get_secret_value() for key in config.api_keys]
        self._client = client
        self._root = config.base_url.rstrip("/")
        account = {"openai-organization": config.organization, "openai-project": config.project}
        said = {name: value for name, value in account.items() if value}
        self._headers = [{"authorization": f"Bearer {key}", **said} for key in self.keys]

    @contextlib.asynccontextmanager
    async def asked(
        self, key: int, path: str, body: bytes, expected: MediaType, *, heard: Heard, traceparent: str = ""
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask at a path, and wait for the answer to begin. Leaving closes the connection unless it was read to its end.

        Raises:
            Failure: what the server answered instead, or why it could not be asked.
        """
        headers = {**self._headers[key], "accept": expected}
        if traceparent:
            headers["traceparent"] = traceparent
        async with self._client.posted(self._root + path, body, headers) as response:
            heard(response.headers)
            await self._check(response, expected)
            yield response

    async def _check(self, response: aiohttp.ClientResponse, expected: MediaType) -> None:
        answers = response.status in _OK
        if answers and media_type(response) == expected and plain(response):
            return
        said = await beginning(response, most_bytes=_ERROR_BYTES)
        if not answers:
            raise from_response(response.status, response.headers, said, keys=self.keys, now=time.time())
        # Some proxies say 200 and mean an error.
        raise from_whole(said, keys=self.keys) or failures.malformed(f"something other than {expected}")
