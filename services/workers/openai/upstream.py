"""One request at the server: its answer in pieces, and every way in which it fails as a failure."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import NamedTuple

import httpx2
import openai

from services.config.provider import OpenAIProvider
from services.workers.closing import close
from services.workers.openai.failures import from_response, from_whole
from services.workers.vendor import failures
from services.workers.vendor.upstream import Upstream, beginning, media_type, plain

_ERROR_BYTES = 64 << 10

# Hears the headers of every answer.
Heard = Callable[[Mapping[str, str]], None]


@contextlib.asynccontextmanager
async def opened(
    client: openai.AsyncOpenAI,
    path: str,
    body: bytes,
    *,
    keys: Sequence[str],
    connect_seconds: float,
    heard: Heard,
    traceparent: str = "",
) -> AsyncIterator[Upstream]:
    """Ask for a stream at a path, and wait for it to begin. Leaving closes the connection unless read to its end.

    Raises:
        Failure: what the server answered instead, or why it could not be asked.
    """
    asked = _Asked(path, "text/event-stream", body, traceparent)
    async with _responding(client, asked, keys, connect_seconds, heard) as response:
        if media_type(response) != asked.accepts or not plain(response):
            # Some proxies say 200 and mean an error.
            failure = from_whole(await beginning(response, most_bytes=_ERROR_BYTES), keys=keys)
            raise failure or failures.malformed("something other than a stream of events")
        yield Upstream(response)


@contextlib.asynccontextmanager
async def embedding(
    client: openai.AsyncOpenAI,
    body: bytes,
    *,
    keys: Sequence[str],
    connect_seconds: float,
    heard: Heard,
    traceparent: str = "",
) -> AsyncIterator[httpx2.Response]:
    """Ask for vectors, and wait for the answer to begin. Leaving closes it as above.

    Raises:
        Failure: as above.
    """
    asked = _Asked("/embeddings", "application/json", body, traceparent)
    async with _responding(client, asked, keys, connect_seconds, heard) as response:
        yield response


def clients(config: OpenAIProvider, http: httpx2.AsyncClient) -> list[openai.AsyncOpenAI]:
    """The SDK's client for each key, over one pool of connections. The environment has no say."""
    # Without `Omit` an empty value would be sent, and without any the environment's.
    headers = {
        "OpenAI-Organization": config.organization or openai.Omit(),
        "OpenAI-Project": config.project or openai.Omit(),
    }
    return [
        openai.AsyncOpenAI(
            api_key=key.get_secret_value(),
            organization=config.organization,
            project=config.project,
            base_url=config.base_url,
            default_headers=headers,  # type: ignore[arg-type]  # the SDK's own way to leave a header out
            max_retries=0,
            timeout=http.timeout,
            http_client=http,
        )
        for key in config.api_keys
    ]


class _Asked(NamedTuple):
    """A request: its path below `base_url`, the media type that it wants, its body, and its trace if it has one."""

    path: str
    accepts: str
    body: bytes
    traceparent: str


@contextlib.asynccontextmanager
async def _responding(
    client: openai.AsyncOpenAI, asked: _Asked, keys: Sequence[str], connect_seconds: float, heard: Heard
) -> AsyncIterator[httpx2.Response]:
    response = await _response(client, asked, keys, connect_seconds, heard)
    try:
        heard(response.headers)
        yield response
    finally:
        await close(response)


async def _response(
    client: openai.AsyncOpenAI, asked: _Asked, keys: Sequence[str], connect_seconds: float, heard: Heard
) -> httpx2.Response:
    headers = {"content-type": "application/json", "accept": asked.accepts, "accept-encoding": "identity"}
    if asked.traceparent:
        headers["traceparent"] = asked.traceparent
    try:
        # The raw response. A streamed token costs about 67 µs of CPU here: 40 in httpcore and h11 below, 4.5 in Frames
        # and Answer. Through the SDK's typed chunks it costs 155.
        answer: object = await client.post(
            asked.path,
            cast_to=httpx2.Response,
            content=asked.body,
            options={"headers": headers},
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        assert isinstance(answer, httpx2.Response)  # as `cast_to` says, whatever the types say
        return answer
    except openai.APIStatusError as error:
        heard(error.response.headers)
        text = error.response.content
        failure = from_response(error.status_code, error.response.headers, text, keys=keys, now=time.time())
    except openai.APITimeoutError:
        failure = failures.late("connect", connect_seconds)  # the transport has no other timeout
    except (openai.APIConnectionError, httpx2.HTTPError):
        failure = failures.unavailable("could not be reached, or broke the connection")
    # Not chained: the SDK's exceptions hold the request, and that our key.
    raise failure
