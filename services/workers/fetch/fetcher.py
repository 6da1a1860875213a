"""Pictures and files that a request names by address, fetched under guard where the configuration says so."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import NamedTuple

import httpx2
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.config.provider import Fetch
from services.workers.closing import close
from services.workers.fetch.addresses import is_public
from services.workers.fetch.lookups import Lookups, Resolve, open_lookups, resolve
from services.workers.fetch.urls import PORTS, host_of, matches, read


class _Wanted(NamedTuple):
    """A part that is to be fetched."""

    path: str
    content: conversation.Image | conversation.File

    @property
    def is_image(self) -> bool:
        return isinstance(self.content, conversation.Image)


class _Fetched(NamedTuple):
    data: bytes
    media_type: str


@contextlib.asynccontextmanager
async def open_fetcher(
    config: Fetch, *, resolving: Resolve = resolve, trust: ssl.SSLContext | None = None
) -> AsyncIterator["Fetcher"]:
    """A fetcher; nothing of it is left afterwards. It trusts the usual authorities, or those given."""
    # The transport alone: a client would follow redirects, keep cookies, and ask the environment for proxies. No
    # connection is kept either, since it might serve another host of the same address.
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    async with (
        httpx2.AsyncHTTPTransport(verify=trust or True, trust_env=False, limits=limits) as transport,
        open_lookups(resolving) as lookups,
    ):
        yield Fetcher(config, transport, lookups)


class Fetcher:
    """Puts bytes where a spec has addresses.

    A host is resolved once, every address of it is checked, and the connection is made to one of these: asking again
    might give another answer. The certificate is checked for the host, not for the address.
    """

    def __init__(self, config: Fetch, transport: httpx2.AsyncHTTPTransport, lookups: Lookups) -> None:
        self._config = config
        self._transport = transport
        self._lookups = lookups

    async def filled(self, spec: generation.GenerationSpec) -> generation.GenerationSpec:
        """The spec with bytes in place of addresses; itself where it has none.

        Raises:
            Failure: SPEC_INVALID, naming the part, and never quoting its address: that may hold a secret.
        """
        if not any(True for _ in self._wanted(spec)):
            return spec
        filled = generation.GenerationSpec()
        filled.CopyFrom(spec)
        wanted = list(self._wanted(filled))
        if len(wanted) > self._config.max_parts:
            path = wanted[self._config.max_parts].path
            raise _refusal(path, f"no more than {self._config.max_parts} of a request are")
        fetched = await self._all(wanted)
        for one, content in zip(wanted, fetched, strict=True):
            one.content.data = content.data
            one.content.media_type = content.media_type
        return filled

    def _wanted(self, spec: generation.GenerationSpec) -> Iterator[_Wanted]:
        for number, message in enumerate(spec.messages):
            for place, part in enumerate(message.parts):
                kind = part.WhichOneof("content")
                content = part.image if kind == "image" else part.file if kind == "file" else None
                # Any other scheme means something to a provider, if to anybody.
                if content is None or not content.url[:8].lower().startswith(("http://", "https://")):
                    continue
                path = f"messages[{number}].parts[{place}]"
                if not matches(host_of(_parsed(content.url, path)), self._config.leave_hosts):
                    yield _Wanted(path, content)

    async def _all(self, wanted: Sequence[_Wanted]) -> list[_Fetched]:
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(self._one(one)) for one in wanted]
        except ExceptionGroup as group:
            # The first is as good as any; whatever is no Failure is a fault of ours and stays as it is.
            failures = [error for error in group.exceptions if isinstance(error, Failure)]
            failure = failures[0] if len(failures) == len(group.exceptions) else None
            if failure is None:
                raise
        else:
            return [task.result() for task in running]
        raise failure

    async def _one(self, wanted: _Wanted) -> _Fetched:
        path = wanted.path
        url = self._checked(wanted.content.url, path)
        try:
            async with asyncio.timeout(self._config.seconds):
                addresses = await self._addresses(url, path)
                async with self._asked(url, addresses, path) as response:
                    return await self._read(response, wanted)
        except TimeoutError:
            raise _refusal(path, f"it took more than {self._config.seconds:g} seconds") from None
        except httpx2.HTTPError:
            failure = _refusal(path, "its server cannot be reached, or broke the connection")
        raise failure  # not chained: the exception holds the address

    def _checked(self, text: str, path: str) -> httpx2.URL:
        url = _parsed(text, path)
        if url.scheme != "https" and not self._config.allow_http:
            raise _refusal(path, "only https addresses are")
        if self._config.allow_hosts and not matches(host_of(url), self._config.allow_hosts):
            raise _refusal(path, "its host is not among those that are allowed")
        return url

    async def _addresses(self, url: httpx2.URL, path: str) -> Sequence[str]:
        """Where to connect to.

        Raises:
            Failure: in the same words for a host that is not there and one that is not public, lest they be told apart.
        """
        addresses = await self._lookups.addresses(host_of(url), url.port or PORTS[url.scheme])
        if addresses and (self._config.allow_private or all(map(is_public, addresses))):
            return addresses
        raise _refusal(path, "its host has no public address")

    @contextlib.asynccontextmanager
    async def _asked(self, url: httpx2.URL, addresses: Sequence[str], path: str) -> AsyncIterator[httpx2.Response]:
        response = await self._response(url, addresses)
        try:
            if response.status_code != 200:
                raise _refusal(path, f"its server answered with HTTP status {response.status_code}")
            yield response
        finally:
            await close(response)

    async def _response(self, url: httpx2.URL, addresses: Sequence[str]) -> httpx2.Response:
        headers = {"host": url.netloc.decode("ascii"), "user-agent": "hybridinference", "accept-encoding": "identity"}
        for address in addresses[:-1]:
            with contextlib.suppress(httpx2.ConnectError):
                return await self._transport.handle_async_request(_request(url, address, headers))
        return await self._transport.handle_async_request(_request(url, addresses[-1], headers))

    async def _read(self, response: httpx2.Response, wanted: _Wanted) -> _Fetched:
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        fits = media_type.startswith("image/") if wanted.is_image else media_type in self._config.file_types
        if not fits:
            raise _refusal(wanted.path, "it is not of a media type that is taken")
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise _refusal(wanted.path, "its server packs it, which was not asked for")
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_raw():
            size += len(part)
            if size > self._config.max_bytes:
                raise _refusal(wanted.path, f"it has more than {self._config.max_bytes} bytes")
            parts.append(part)
        if not size:
            raise _refusal(wanted.path, "it is empty")
        return _Fetched(b"".join(parts), media_type)


def _parsed(text: str, path: str) -> httpx2.URL:
    try:
        return read(text)
    except ValueError:
        raise _refusal(path, "its address cannot be read") from None


def _request(url: httpx2.URL, address: str, headers: Mapping[str, str]) -> httpx2.Request:
    """To an address, but for the host: by name in the header, and in the certificate."""
    return httpx2.Request(
        "GET", url.copy_with(host=address), headers=headers, extensions={"sni_hostname": host_of(url)}
    )


def _refusal(path: str, why: str) -> Failure:
    return Failure(reasons.ERROR_REASON_SPEC_INVALID, f"`{path}` could not be fetched: {why}.", field=path)
