"""The client before plain servers: what it says, whom it trusts, and what it makes of connections that end."""

import asyncio
import contextlib
import datetime
import pathlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.chassis.failure import Failure
from services.config.provider import OpenAIProvider as Config
from services.workers.vendor.proxy import proxy_of
from services.workers.vendor.transport import Client, open_client
from services.workers.vendor.upstream import Upstream
from tests.fakes import eventually

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
KEY = "sk-canary-aaaaaaaaaaaa"


class Server:
    """Takes each request as it comes, and answers as it is told."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.port = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                size = next(line for line in head.lower().split("\r\n") if line.startswith("content-length"))
                self.bodies.append(await reader.readexactly(int(size.partition(":")[2])))
                self.heads.append(head)
                await self.answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            self.open -= 1


@contextlib.asynccontextmanager
async def serving(answer: Answer, trust: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(answer)
    async with await asyncio.start_server(server.connected, "127.0.0.1", 0, ssl=trust) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server


def client(url: str, *, environment: bool = False) -> contextlib.AbstractAsyncContextManager[Client]:
    config = Config.model_validate(
        {"kind": "openai", "base_url": url, "api_keys": [KEY], "models": ["m"], "proxy_from_environment": environment}
    )
    return open_client(config, url=url)


def replying(*pieces: bytes) -> Answer:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n")
        await writer.drain()

    return reply


async def told(one: Client, url: str, body: bytes = b"{}") -> bytes:
    """All of an answer."""
    by = asyncio.get_running_loop().time() + 30
    async with one.posted(url, body, {"authorization": f"Bearer {KEY}"}) as response:
        said = b""
        with Upstream(response) as up:
            while arrived := await up.read(by=by):
                said += arrived
        return said


async def test_what_had_arrived_before_a_connection_broke_is_read_by_whoever_comes_late() -> None:
    async def broken(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"3\r\nabc\r\n3\r\ndef\r\n")
        await writer.drain()
        writer.close()
        raise ConnectionError

    async with serving(broken) as server:
        url = f"http://127.0.0.1:{server.port}/v1"
        async with client(url) as one, one.posted(url, b"{}", {}) as response:
            await eventually(lambda: response.content.exception() is not None, seconds=30)
            with Upstream(response) as up:
                by = asyncio.get_running_loop().time() + 30
                assert await up.read(by=by) == b"abcdef"
                for _ in range(2):
                    with pytest.raises(Failure) as caught:
                        await up.read(by=by)
                    assert caught.value.reason_name == "PROVIDER_UNAVAILABLE"
                    assert caught.value.__context__ is None


async def test_a_wait_that_is_too_long_ends_and_closes_the_connection() -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"3\r\nabc\r\n")

    async with serving(silent) as server:
        url = f"http://127.0.0.1:{server.port}/v1"
        async with client(url) as one, one.posted(url, b"{}", {}) as response:
            with Upstream(response) as up:
                loop = asyncio.get_running_loop()
                assert await up.read(by=loop.time() + 30) == b"abc"
                begun = loop.time()
                with pytest.raises(TimeoutError):
                    await up.read(by=begun + 0.05)
                assert loop.time() >= begun + 0.05
            await eventually(lambda: not server.open, seconds=30)


async def test_an_answer_that_is_read_to_its_end_keeps_its_connection_and_one_that_is_left_does_not() -> None:
    async with serving(replying(b"abc")) as server:
        url = f"http://127.0.0.1:{server.port}/v1"
        async with client(url) as one:
            for _ in range(3):
                assert await told(one, url) == b"abc"
            assert server.connections == 1
        await eventually(lambda: not server.open, seconds=30)


async def test_a_connection_that_the_server_has_closed_meanwhile_is_not_used_again() -> None:
    async def last(writer: asyncio.StreamWriter) -> None:
        await replying(b"abc")(writer)
        raise ConnectionError

    async with serving(last) as server:
        url = f"http://127.0.0.1:{server.port}/v1"
        async with client(url) as one:
            for number in range(3):
                assert await told(one, url) == b"abc"
                await eventually(lambda: not server.open, seconds=30)
                for _ in range(10):  # the end is in our socket already, and is seen at a next turn of the loop
                    await asyncio.sleep(0)
                assert server.connections == number + 1


async def test_nothing_is_asked_twice_by_the_transport() -> None:
    async def gone(writer: asyncio.StreamWriter) -> None:
        raise ConnectionError

    async with serving(gone) as server:
        url = f"http://127.0.0.1:{server.port}/v1"
        async with client(url) as one:
            with pytest.raises(Failure) as caught:
                await told(one, url)
        assert caught.value.reason_name == "PROVIDER_UNAVAILABLE"
        assert len(server.heads) == 1


async def test_a_body_of_any_size_arrives_whole_with_what_every_request_says() -> None:
    async with serving(replying(b"abc")) as server:
        url = f"http://127.0.0.1:{server.port}/v1/chat"
        bodies = [b"{}", b"x" * (3 << 20)]
        async with client(url) as one:
            for body in bodies:
                assert await told(one, url, body) == b"abc"
        assert server.bodies == bodies
        for head in server.heads:
            lines = head.lower().split("\r\n")
            assert lines[0] == "post /v1/chat http/1.1"
            assert {"content-type: application/json", "accept-encoding: identity"} <= set(lines)
            assert "user-agent: hybridinference" in lines
            assert not any(line.startswith(("transfer-encoding", "cookie", "x-stainless")) for line in lines)


async def test_headers_may_be_long_but_not_endless() -> None:
    def with_header(size: int) -> Answer:
        async def reply(writer: asyncio.StreamWriter) -> None:
            writer.write(HEAD.replace(b"\r\n\r\n", b"\r\nx-policy: %s\r\n\r\n" % (b"a" * size)) + b"0\r\n\r\n")

        return reply

    async with serving(with_header(20 << 10)) as server:
        url = f"http://127.0.0.1:{server.port}/v1"
        async with client(url) as one:
            assert await told(one, url) == b""
            server.answer = with_header(1 << 20)
            with pytest.raises(Failure) as caught:
                await told(one, url)
        assert caught.value.reason_name == "PROVIDER_UNAVAILABLE"


async def test_a_proxy_of_the_environment_is_used_only_where_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(replying(b"by proxy")) as proxy, serving(replying(b"direct")) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "other.test")
        monkeypatch.delenv("http_proxy", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        url = f"http://127.0.0.1:{server.port}/v1"
        async with client(url, environment=True) as one:
            assert await told(one, url) == b"by proxy"
        assert proxy.heads[0].startswith(f"POST {url} HTTP/1.1\r\n")
        assert "proxy-authorization: basic" in proxy.heads[0].lower()
        async with client(url) as one:
            assert await told(one, url) == b"direct"
        assert "secret" not in str(server.heads)
        assert "proxy" not in server.heads[0].lower()


def test_the_proxy_goes_by_scheme_and_some_hosts_need_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "one.test:3128")
    monkeypatch.setenv("ALL_PROXY", "http://all.test:1")
    monkeypatch.setenv("NO_PROXY", "localhost,.inside.test,inside.test:8000")
    assert proxy_of("https://api.test/v1") == "http://one.test:3128"
    assert proxy_of("http://api.test/v1") == "http://all.test:1"
    for url in ("https://localhost/v1", "http://a.inside.test/v1", "http://inside.test:8000/v1"):
        assert proxy_of(url) is None
    monkeypatch.delenv("ALL_PROXY")
    assert proxy_of("http://api.test/v1") is None


async def test_a_server_whose_certificate_nobody_vouches_for_is_not_told_the_key(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = tmp_path / "server.pem"
    pem.write_bytes(certified())
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(pem)
    async with serving(replying(b"abc"), shown) as server:
        url = f"https://localhost:{server.port}/v1"
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        async with client(url, environment=True) as one:
            assert await told(one, url) == b"abc"
        async with client(url) as one:
            with pytest.raises(Failure) as caught:
                await told(one, url)
        assert caught.value.reason_name == "PROVIDER_UNAVAILABLE"
        assert len(server.heads) == 1


def certified() -> bytes:
    """A certificate for this host that it signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + secret
