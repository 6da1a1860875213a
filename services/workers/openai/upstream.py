"""One request at the server: its answer in pieces, and every way in which it fails as a failure."""

import contextlib
import time
from collections.abc import AsyncIterator, Sequence

import httpx2
import openai

from services.config.provider import OpenAIProvider
from services.workers.openai.failures import from_response, from_whole
from services.workers.vendor import failures
from services.workers.vendor.upstream import Upstream, beginning, media_type, plain

_ERROR_BYTES = 64 << 10


@contextlib.asynccontextmanager
async def opened(
    client: openai.AsyncOpenAI, body: bytes, *, keys: Sequence[str], connect_seconds: float
) -> AsyncIterator[Upstream]:
    """Ask, and wait for the answer to begin. Leaving closes the connection unless the answer was read to its end.

    Raises:
        Failure: what the server answered instead, or why it could not be asked.
    """
    response = await _asked(client, body, keys, connect_seconds)
    try:
        await _check_type(response, keys)
        yield Upstream(response)
    finally:
        await response.aclose()


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


async def _asked(
    client: openai.AsyncOpenAI, body: bytes, keys: Sequence[str], connect_seconds: float
) -> httpx2.Response:
    headers = {"content-type": "application/json", "accept": "text/event-stream", "accept-encoding": "identity"}
    try:
        # The raw response. A streamed token costs about 67 µs of CPU here: 40 in httpcore and h11 below, 4.5 in Frames
        # and Answer. Through the SDK's typed chunks it costs 155.
        answer: object = await client.post(
            "/chat/completions",
            cast_to=httpx2.Response,
            content=body,
            options={"headers": headers},
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        assert isinstance(answer, httpx2.Response)  # as `cast_to` says, whatever the types say
        return answer
    except openai.APIStatusError as error:
        text = error.response.content
        failure = from_response(error.status_code, error.response.headers, text, keys=keys, now=time.time())
    except openai.APITimeoutError:
        failure = failures.late("connect", connect_seconds)  # the transport has no other timeout
    except (openai.APIConnectionError, httpx2.HTTPError):
        failure = failures.unavailable("could not be reached, or broke the connection")
    # Not chained: the SDK's exceptions hold the request, and that our key.
    raise failure


async def _check_type(response: httpx2.Response, keys: Sequence[str]) -> None:
    if media_type(response) == "text/event-stream" and plain(response):
        return
    # Some proxies say 200 and mean an error.
    failure = from_whole(await beginning(response, most_bytes=_ERROR_BYTES), keys=keys)
    raise failure or failures.malformed("something other than a stream of events")
