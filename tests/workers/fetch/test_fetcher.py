"""Fetching under guard, from real servers on this host."""

import asyncio
import contextlib
import datetime
import ipaddress
import pathlib
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model
from prometheus_client import CollectorRegistry

from services.chassis.deadline import Deadline
from services.chassis.failure import Failure
from services.config.provider import Fetch
from services.workers.execution import Executor
from services.workers.fetch.fetcher import Fetcher, open_fetcher
from services.workers.fetch.lookups import Resolve
from services.workers.order import Order
from services.workers.provider import AttemptContext, ServedModel
from services.workers.status import StatusBoard
from tests.fakes import Events, ScriptedProvider, delta, eventually, finished, saying, started

PNG = b"\x89PNG" + bytes(range(256))
SECRET = "secret-canary"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n"
OPEN = {"allow_http": True, "allow_private": True}


def answer(
    body: bytes = PNG, *, status: str = "200 OK", media_type: str = "image/png", more: Sequence[str] = ()
) -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-type: {media_type}", f"content-length: {len(body)}", *more]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Server:
    """Sends the same to everybody, byte for byte, and remembers what it was asked."""

    def __init__(self, sends: bytes, *, again: bytes = b"", pause: float = 0.0) -> None:
        self.sends, self.again, self.pause = sends, again, pause
        self.asked: list[str] = []
        self.open = 0
        self.port = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(self.sends)
            while self.again or self.pause:
                await asyncio.sleep(self.pause)
                writer.write(self.again)
                await writer.drain()
                if reader.at_eof():
                    break
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()


@contextlib.asynccontextmanager
async def serving(server: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    up = await asyncio.start_server(server.connected, "127.0.0.1", 0, ssl=tls)
    server.port = up.sockets[0].getsockname()[1]
    async with up:
        yield server
        await eventually(lambda: not server.open, seconds=30)


def spec(*urls: str, file: bool = False) -> generation.GenerationSpec:
    asked = generation.GenerationSpec(model="m")
    message = asked.messages.add(role=conversation.ROLE_USER)
    message.parts.add(text="look")
    for url in urls:
        part = message.parts.add()
        (part.file if file else part.image).url = url
    return asked


async def filled(
    asked: generation.GenerationSpec, resolving: Resolve | None = None, **settings: Any
) -> generation.GenerationSpec:
    config = Fetch.model_validate({**OPEN, "seconds": 5, **settings})
    async with open_fetcher(config, **({"resolving": resolving} if resolving else {})) as fetcher:
        return await fetcher.filled(asked)


async def refused(asked: generation.GenerationSpec, resolving: Resolve | None = None, **settings: Any) -> str:
    with pytest.raises(Failure) as caught:
        await filled(asked, resolving, **settings)
    failure = caught.value
    assert failure.reason_name == "SPEC_INVALID"
    assert failure.metadata["field"] == "messages[0].parts[1]"
    assert "messages[0].parts[1]" in failure.message
    chain: BaseException | None = failure
    while chain is not None:
        assert SECRET not in f"{chain} {chain!r} {vars(chain)}"
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    return failure.message


def url(server: Server, host: str = "127.0.0.1", scheme: str = "http") -> str:
    return f"{scheme}://{host}:{server.port}/a.png?token={SECRET}"


async def test_a_picture_by_address_becomes_its_bytes_and_the_spec_that_came_stays() -> None:
    async with serving(Server(answer(media_type="image/PNG; x=y"))) as server:
        asked = spec(url(server))
        asked.messages[0].parts[1].image.detail = "low"
        before = asked.SerializeToString(deterministic=True)
        got = await filled(asked)
    image = got.messages[0].parts[1].image
    assert (image.data, image.media_type, image.detail) == (PNG, "image/png", "low")
    assert asked.SerializeToString(deterministic=True) == before
    head = server.asked[0].lower()
    assert head.startswith("get /a.png?token=")
    assert f"host: 127.0.0.1:{server.port}\r\n" in head
    assert "cookie" not in head


async def test_a_file_is_fetched_where_its_type_is_configured() -> None:
    async with serving(Server(answer(b"%PDF", media_type="application/pdf"))) as server:
        asked = spec(url(server), file=True)
        file = (await filled(asked)).messages[0].parts[1].file
        assert (file.data, file.media_type) == (b"%PDF", "application/pdf")
        assert "media type" in await refused(asked, file_types=["text/csv"])
        assert "media type" in await refused(spec(url(server)))


async def test_what_is_no_address_of_the_web_is_left_to_the_provider() -> None:
    asked = spec("gs://bucket/a.png", "data:image/png;base64,AQI=")
    asked.messages[0].parts.add().image.data = PNG
    assert await filled(asked) is asked
    kept = spec("https://Files.Vendor.test/a", "https://x.vendor.test/b")
    assert await filled(kept, leave_hosts=["files.vendor.test", "*.vendor.test"]) is kept


async def test_a_redirect_is_not_followed() -> None:
    async with serving(Server(answer())) as other:
        to_other = answer(b"", status="302 Found", more=[f"location: {url(other)}"])
        async with serving(Server(to_other)) as server:
            assert "HTTP status 302" in await refused(spec(url(server)))
        assert not other.asked


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "127.1", "2130706433", "0x7f000001", "0", "[::ffff:127.0.0.1]"]
)
async def test_nothing_private_is_asked_under_any_name(host: str) -> None:
    async with serving(Server(answer())) as server:
        assert "no public address" in await refused(spec(url(server, host)), allow_private=False)
        assert not server.asked


async def test_a_host_with_one_private_address_is_refused_and_reads_like_one_that_is_not_there() -> None:
    async def mixed(host: str, port: int) -> list[str]:
        return ["1.1.1.1", "10.0.0.1"]

    async def nowhere(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    asked = spec("https://mixed.test/")
    assert await refused(asked, mixed, allow_private=False) == await refused(asked, nowhere, allow_private=False)
    assert "no public address" in await refused(asked, nowhere)


async def test_a_name_is_resolved_once_and_the_connection_goes_where_that_led() -> None:
    """A name that leads somewhere else the second time gains nothing by it."""
    told: list[tuple[str, int]] = []

    async def rebinding(host: str, port: int) -> list[str]:
        told.append((host, port))
        return ["127.0.0.1"] if len(told) == 1 else ["127.0.0.2"]

    async with serving(Server(answer())) as server:
        await filled(spec(url(server, "Rebinding.test.")), rebinding)
        assert told == [("rebinding.test", server.port)]
        assert f"host: rebinding.test.:{server.port}" in server.asked[0].lower()


async def test_another_address_of_the_host_is_tried_where_nobody_answers_at_the_first() -> None:
    async def two(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]  # nobody listens at the first

    async with serving(Server(answer())) as server:
        assert (await filled(spec(url(server, "two.test")), two)).messages[0].parts[1].image.data == PNG


@pytest.mark.parametrize(
    "address",
    [
        "https://good.test\\@evil.test/",
        "https://user:secret-canary@good.test/",
        "https://good.test@evil.test/",
        "https:///a",
        "https://a b/",
        "https://a%2eb/",
        "https://good.test:x/",
        "https://good.test:0/",
        "https://good.test:99999/",
        "https://①.test/",
        "https://good.test/\n",
        "https://good.test/" + "a" * 9000,
    ],
    ids=lambda value: value[:40],
)
async def test_an_address_that_two_readers_may_read_differently_is_refused(address: str) -> None:
    assert "cannot be read" in await refused(spec(address))


async def test_names_that_nobody_resolves_are_not_looked_up_in_any_number() -> None:
    looking: list[str] = []

    async def never(host: str, port: int) -> list[str]:
        looking.append(host)
        await asyncio.get_running_loop().create_future()
        return []

    asked = spec(*[f"https://{number}.test/" for number in range(5)])
    config = Fetch(seconds=0.05)
    async with open_fetcher(config, resolving=never) as fetcher:
        for _ in range(3):
            with pytest.raises(Failure, match="took more than"):
                await fetcher.filled(asked)
        assert len(looking) == 2


async def test_only_hosts_that_are_allowed_are_asked_where_some_are_named() -> None:
    async with serving(Server(answer())) as server:
        await filled(spec(url(server)), allow_hosts=["127.0.0.1"])
        assert "not among those" in await refused(spec(url(server)), allow_hosts=["127.0.0.2", "*.test"])
        assert len(server.asked) == 1


async def test_without_tls_only_where_that_is_configured() -> None:
    async with serving(Server(answer())) as server:
        assert "only https" in await refused(spec(url(server)), allow_http=False)
        assert not server.asked


@pytest.mark.parametrize(
    ("server", "why"),
    [
        (Server(b"", pause=0.05), "more than 0.5 seconds"),
        (
            Server(HEAD, again=b"x", pause=0.01),
            "more than 0.5 seconds",
        ),
        (Server(HEAD, again=b"x" * 9999), "more than 100000 bytes"),
        (Server(answer(bytes(100_001))), "more than 100000 bytes"),
        (Server(answer(media_type="text/html")), "media type"),
        (Server(answer(more=["content-encoding: gzip"])), "packs it"),
        (Server(answer(b"")), "empty"),
        (Server(answer(status="404 Not Found")), "HTTP status 404"),
        (Server(answer(status="206 Partial")), "HTTP status 206"),
        (Server(b"SSH-2.0-x\r\n\r\n"), "broke the connection"),
        (Server(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000), "broke the connection"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_server_that_does_not_give_what_is_wanted_is_given_up(server: Server, why: str) -> None:
    seconds = 0.5 if "0.5 seconds" in why else 30  # only what is about the time may run out of it
    async with serving(server):
        assert why in await refused(spec(url(server)), seconds=seconds, max_bytes=100_000)


async def test_a_request_has_only_so_many_parts_fetched() -> None:
    async with serving(Server(answer())) as server:
        await filled(spec(*[url(server)] * 3), max_parts=3)
        with pytest.raises(Failure) as caught:
            await filled(spec(*[url(server)] * 4), max_parts=3)
        assert caught.value.metadata["field"] == "messages[0].parts[4]"
        assert len(server.asked) == 3


async def test_one_that_fails_ends_the_others_and_so_does_a_caller_that_leaves() -> None:
    async with serving(Server(b"", pause=0.05)) as slow, serving(Server(answer(b""))) as bad:
        with pytest.raises(Failure) as caught:
            await filled(spec(url(slow), url(bad)), seconds=30)
        assert caught.value.metadata["field"] == "messages[0].parts[2]"
        await eventually(lambda: not slow.open, seconds=1)
        task = asyncio.create_task(filled(spec(url(slow)), seconds=30))
        await eventually(lambda: bool(slow.open), seconds=30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: not slow.open, seconds=1)


def certified(home: pathlib.Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server shows that has a certificate for a name, and what a client trusts who knows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("192.0.2.1"))])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = home / "server.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cadata=certificate.public_bytes(serialization.Encoding.PEM).decode())


async def test_the_certificate_is_checked_for_the_name_though_the_address_is_connected_to(
    tmp_path: pathlib.Path,
) -> None:
    async def here(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    shown, trusted = certified(tmp_path, "pictures.test")
    config = Fetch(allow_private=True, seconds=5)
    async with serving(Server(answer()), shown) as server:
        async with open_fetcher(config, resolving=here, trust=trusted) as fetcher:
            assert await picture(fetcher, url(server, "pictures.test", "https")) == PNG
            for other in ("other.test", "127.0.0.1"):
                with pytest.raises(Failure, match="cannot be reached"):
                    await picture(fetcher, url(server, other, "https"))
        async with open_fetcher(config, resolving=here) as fetcher:
            with pytest.raises(Failure, match="cannot be reached"):
                await picture(fetcher, url(server, "pictures.test", "https"))
        assert len(server.asked) == 1


async def picture(fetcher: Fetcher, address: str) -> bytes:
    got = await fetcher.filled(spec(address))
    return got.messages[0].parts[1].image.data


class Looking(ScriptedProvider):
    """Sees pictures, and keeps the last request."""

    last: generation.GenerationSpec | None = None

    @property
    def models(self) -> Sequence[ServedModel]:
        return [ServedModel("m", 1000, (model.CAPABILITY_CHAT, model.CAPABILITY_IMAGES))]

    async def generate(self, spec: generation.GenerationSpec, context: AttemptContext) -> Events:
        self.last = spec
        async with contextlib.aclosing(super().generate(spec, context)) as events:
            async for event in events:
                yield event


@contextlib.asynccontextmanager
async def executing(**settings: Any) -> AsyncIterator[tuple[Executor, Looking]]:
    registry = CollectorRegistry()
    executor = Executor(StatusBoard("scripted-0", "scripted"), registry)
    provider = Looking({"": saying(started(), delta("a cat"), finished())})
    async with open_fetcher(Fetch.model_validate({**OPEN, **settings})) as fetcher:
        executor.begin_serving(provider, fill=fetcher.filled)
        yield executor, provider


async def test_a_worker_fetches_before_its_provider_sees_the_request() -> None:
    async with serving(Server(answer())) as server, executing() as (executor, provider):
        await executor.run(spec(url(server)), lambda event: None, Order(Deadline(None)))
        assert provider.last is not None
        assert provider.last.messages[0].parts[1].image.data == PNG


async def test_the_deadline_of_an_attempt_ends_its_fetching() -> None:
    async with serving(Server(b"", pause=0.05)) as server, executing(seconds=30) as (executor, provider):
        soon = Deadline.after(0.2, now=asyncio.get_running_loop().time())
        with pytest.raises(Failure) as caught:
            await executor.run(spec(url(server)), lambda event: None, Order(soon))
        assert caught.value.reason_name == "DEADLINE_EXCEEDED"
        assert provider.last is None
        await eventually(lambda: not server.open, seconds=1)


async def test_nothing_is_fetched_for_a_model_that_cannot_take_it() -> None:
    async with serving(Server(answer(b"%PDF", media_type="application/pdf"))) as server, executing() as (executor, _):
        with pytest.raises(Failure) as caught:
            await executor.run(spec(url(server), file=True), lambda event: None, Order(Deadline(None)))
        assert caught.value.reason_name == "UNSUPPORTED"
        assert not server.asked
