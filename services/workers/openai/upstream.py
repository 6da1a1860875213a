"""One request at the server: its answer in pieces, and every way in which it fails as a failure."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import httpx2
import openai

from services.config.provider import OpenAIProvider
from services.workers.openai import failures

_ERROR_BYTES = 64 << 10
# The last chunk of the transport usually comes with the last event. Waiting for it keeps the connection for others.
_GOODBYE_SECONDS = 0.05


class Upstream:
    """An answer that has begun."""

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
        raise failure  # not chained, as below

    async def part(self) -> None:
        """Take leave of a server that has said its last."""
        with contextlib.suppress(TimeoutError, httpx2.HTTPError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                async for _ in self._parts:
                    pass


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
        failure = failures.from_response(error.status_code, error.response.headers, text, keys=keys, now=time.time())
    except openai.APITimeoutError:
        failure = failures.late("connect", connect_seconds)  # the transport has no other timeout
    except (openai.APIConnectionError, httpx2.HTTPError):
        failure = failures.unavailable("could not be reached, or broke the connection")
    # Not chained: the SDK's exceptions hold the request, and that our key.
    raise failure


async def _check_type(response: httpx2.Response, keys: Sequence[str]) -> None:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    packed = response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity")
    if kind == "text/event-stream" and not packed:
        return
    beginning = b""
    with _broken_connections():
        async for part in response.aiter_raw():
            beginning += part
            if len(beginning) >= _ERROR_BYTES:
                break
    # Some proxies say 200 and mean an error.
    failure = failures.from_whole(beginning, keys=keys)
    raise failure or failures.malformed("something other than a stream of events")


@contextlib.contextmanager
def _broken_connections() -> Iterator[None]:
    try:
        yield
    except httpx2.HTTPError:
        failure = failures.unavailable("broke the connection")
    else:
        return
    raise failure
