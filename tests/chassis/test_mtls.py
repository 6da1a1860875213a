"""TLS between processes: who gets in, who is believed, and how a renewed certificate is taken up."""

import asyncio
import contextlib
import datetime

import grpc
import pytest
import structlog
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from services.chassis import status
from services.chassis.channel import open_channel
from services.chassis.credentials import of_channel
from services.chassis.renewing import RenewingChannel
from services.chassis.server import open_server
from tests.chassis.trust import DAY, Authority, free_address, now, put

AUTHORITY, OTHER = Authority(), Authority()
HOUR = datetime.timedelta(hours=1)
SECONDS = 30


@contextlib.asynccontextmanager
async def serving(credentials, *, handlers=(), callers=None, registry=None):
    """A server on TCP; its address."""

    def add(server):
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", dict(handlers)),))

    address = free_address()
    callers = callers or {"/test.Test/Call": ("gateway",), "/test.Test/Stream": ("gateway",)}
    async with open_server(
        address, add, ["test.Test"], registry or CollectorRegistry(), credentials=credentials, callers=callers
    ) as server:
        await server.mark_serving()
        yield address


async def check(channel):
    return await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)


async def echo(request, context):
    return request


def unary(handler):
    return grpc.unary_unary_rpc_method_handler(handler)


@pytest.fixture
def worker(tmp_path):
    return AUTHORITY.credentials(tmp_path, "worker", "w-0")


async def test_whoever_has_a_certificate_of_the_mesh_is_served(tmp_path, worker):
    gateway = AUTHORITY.credentials(tmp_path, "gateway", "gateway")
    async with serving(worker) as address, open_channel(address, "worker", gateway) as channel:
        assert (await check(channel)).status == health_pb2.HealthCheckResponse.SERVING


async def stranger(kind, address, directory):
    """A channel of one who must not get in."""
    options = [("grpc.ssl_target_name_override", "worker.hybridinference")]
    if kind == "plain text":
        return grpc.aio.insecure_channel(address)
    if kind == "no certificate":
        return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(AUTHORITY.pem), options=options)
    if kind == "expired":
        pair = AUTHORITY.sign("gateway", "gateway", since=now() - DAY, lasting=HOUR)
    else:
        pair = OTHER.sign("gateway", "gateway")
    credentials = grpc.ssl_channel_credentials(AUTHORITY.pem, pair.key, pair.certificate)
    return grpc.aio.secure_channel(address, credentials, options=options)


@pytest.mark.parametrize("kind", ["plain text", "no certificate", "expired", "another authority"])
async def test_nobody_else_gets_past_the_handshake(kind, tmp_path, worker):
    async with serving(worker) as address, await stranger(kind, address, tmp_path) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await check(channel)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(("role", "signer"), [("router", AUTHORITY), ("worker", OTHER)])
async def test_who_is_called_has_to_be_of_the_role_and_of_the_mesh(role, signer, tmp_path):
    """A server of the wrong role, or that another authority has signed, is called by nobody."""
    (tmp_path / "server").mkdir()
    server = signer.credentials(tmp_path / "server", role, "it", ca=signer.pem + AUTHORITY.pem)
    gateway = AUTHORITY.credentials(tmp_path, "gateway", "gateway")
    async with serving(server) as address, open_channel(address, "worker", gateway) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await check(channel)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("role", ["worker", "envoy", "cli", "router"])
async def test_a_method_is_refused_to_every_role_that_is_not_named(role, tmp_path, worker):
    caller = AUTHORITY.credentials(tmp_path, role, "it")
    async with (
        serving(worker, handlers={"Call": unary(echo)}) as address,
        open_channel(address, "worker", caller) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/test.Test/Call")(b"x", timeout=SECONDS)
    failure = status.from_rpc_error(refused.value)
    assert failure.reason_name == "PERMISSION_DENIED"
    assert f"spiffe://hybridinference/{role}/it" in failure.message
    assert "gateway" in failure.message


async def test_a_method_without_a_rule_is_refused_to_everybody(tmp_path, worker):
    gateway = AUTHORITY.credentials(tmp_path, "gateway", "gateway")
    handlers = {"Call": unary(echo), "New": unary(echo)}
    async with serving(worker, handlers=handlers) as address, open_channel(address, "worker", gateway) as channel:
        assert await channel.unary_unary("/test.Test/Call")(b"x", timeout=SECONDS) == b"x"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary("/test.Test/New")(b"x", timeout=SECONDS)
    assert status.from_rpc_error(refused.value).reason_name == "PERMISSION_DENIED"


async def test_a_certificate_of_the_authority_without_an_identity_of_the_mesh_may_call_nothing(tmp_path, worker):
    async def call(channel):
        await channel.unary_unary("/test.Test/Call")(b"x", timeout=SECONDS)

    pair = AUTHORITY.sign("gateway", "two words")
    credentials = grpc.ssl_channel_credentials(AUTHORITY.pem, pair.key, pair.certificate)
    options = [("grpc.ssl_target_name_override", "worker.hybridinference")]
    async with (
        serving(worker, handlers={"Call": unary(echo)}) as address,
        grpc.aio.secure_channel(address, credentials, options=options) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(channel)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


def serial(pem):
    return x509.load_pem_x509_certificate(pem).serial_number


async def test_a_renewed_certificate_is_used_by_new_calls_and_running_ones_go_on(tmp_path, worker):
    """Both sides: the streams that were open stay on their connection, and no call fails."""
    seen, go_on = [], asyncio.Event()

    async def call(request, context):
        seen.append(serial(context.auth_context()["x509_pem_cert"][0]))
        return request

    async def stream(request, context):
        yield b"begun"
        await go_on.wait()
        yield b"ended"

    gateway = AUTHORITY.credentials(tmp_path, "gateway", "gateway")
    handlers = {"Call": unary(call), "Stream": grpc.unary_stream_rpc_method_handler(stream)}
    async with serving(worker, handlers=handlers) as address, open_channel(address, "worker", gateway) as channel:
        calling = channel.unary_unary("/test.Test/Call")
        await calling(b"x", timeout=SECONDS)
        running = channel.unary_stream("/test.Test/Stream")(b"x", timeout=SECONDS)
        assert await running.read() == b"begun"
        before = gateway.current(), worker.current()
        AUTHORITY.write(tmp_path, "worker", "w-0")
        AUTHORITY.write(tmp_path, "gateway", "gateway")
        await calling(b"x", timeout=SECONDS)
        go_on.set()
        assert await running.read() == b"ended"
        assert await running.read() is grpc.aio.EOF
        after = gateway.current(), worker.current()
        await calling(b"x", timeout=SECONDS)
    assert all(was.chain != is_now.chain for was, is_now in zip(before, after, strict=True))
    assert seen == [serial(before[0].chain), serial(after[0].chain), serial(after[0].chain)]


async def test_a_connection_that_is_lost_after_a_renewal_comes_back_with_the_new_certificate(tmp_path):
    """Under an authority that has taken over: who showed the old one would not get in again."""
    (tmp_path / "server").mkdir()
    worker = AUTHORITY.credentials(tmp_path / "server", "worker", "w-0", ca=AUTHORITY.pem + OTHER.pem)
    gateway = AUTHORITY.credentials(tmp_path, "gateway", "gateway", ca=AUTHORITY.pem + OTHER.pem)
    handlers = {"Call": unary(echo)}
    async with contextlib.AsyncExitStack() as stack:
        address = free_address()

        def server():
            add = grpc.method_handlers_generic_handler("test.Test", handlers)
            return open_server(
                address,
                lambda server: server.add_generic_rpc_handlers((add,)),
                ["test.Test"],
                CollectorRegistry(),
                credentials=worker,
                callers={"/test.Test/Call": ("gateway",)},
            )

        channel = await stack.enter_async_context(open_channel(address, "worker", gateway))
        calling = channel.unary_unary("/test.Test/Call")
        async with server():
            assert await calling(b"x", timeout=SECONDS) == b"x"
            for directory, role, process in ((tmp_path / "server", "worker", "w-0"), (tmp_path, "gateway", "gateway")):
                OTHER.write(directory, role, process, ca=AUTHORITY.pem + OTHER.pem)
            assert await calling(b"x", timeout=SECONDS) == b"x"
            for directory in (tmp_path / "server", tmp_path):  # now the old one goes
                put(directory / "ca.pem", OTHER.pem)
        async with server():
            assert await calling(b"x", timeout=SECONDS, wait_for_ready=True) == b"x"
            assert worker.current().ca == OTHER.pem


async def test_what_cannot_be_used_is_not_taken_up(tmp_path, worker):
    before = worker.current()
    put(tmp_path / "w-0.key", AUTHORITY.sign("worker", "w-0").key)
    assert worker.current() is before
    gateway = AUTHORITY.credentials(tmp_path, "gateway", "gateway")
    async with serving(worker) as address, open_channel(address, "worker", gateway) as channel:
        await check(channel)
    AUTHORITY.write(tmp_path, "worker", "w-0")
    assert worker.current() is not before


async def test_when_it_expires_is_a_metric_that_a_renewal_changes(tmp_path, worker):
    registry = CollectorRegistry()
    async with serving(worker, registry=registry):

        def told(which):
            return registry.get_sample_value("hybrid_certificate_expires_seconds", {"certificate": which})

        assert abs(told("process") - (now() + DAY).timestamp()) < 600
        assert abs(told("authority") - (now() + 29 * DAY).timestamp()) < 600
        AUTHORITY.write(tmp_path, "worker", "w-0", lasting=2 * DAY)
        assert abs(told("process") - (now() + 2 * DAY).timestamp()) < 600


async def test_a_unix_socket_stays_as_it_is(address, worker):
    async with (
        open_server(address, lambda server: None, [], CollectorRegistry(), credentials=worker),
        open_channel(address) as channel,
    ):
        await check(channel)


async def test_who_is_refused_is_named_in_the_log_with_what_it_wanted(tmp_path, worker):
    router = AUTHORITY.credentials(tmp_path, "router", "router-2")
    with structlog.testing.capture_logs() as logs:
        async with (
            serving(worker, handlers={"Call": unary(echo)}) as address,
            open_channel(address, "worker", router) as channel,
        ):
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary("/test.Test/Call")(b"x", timeout=SECONDS)
    (refused,) = [line for line in logs if line["event"] == "peer.refused"]
    assert refused["peer"] == "spiffe://hybridinference/router/router-2"
    assert (refused["method"], refused["allowed"]) == ("/test.Test/Call", ["gateway"])


async def test_a_line_that_nobody_uses_is_closed_once_its_last_call_has_ended(tmp_path, worker):
    opened = []

    def connect(material):
        options = [("grpc.ssl_target_name_override", "worker.hybridinference")]
        opened.append(grpc.aio.secure_channel(address, of_channel(material), options=options))
        return opened[-1]

    async def stream(request, context):
        yield b"begun"
        await go_on.wait()

    go_on = asyncio.Event()
    gateway = AUTHORITY.credentials(tmp_path, "gateway", "gateway")
    handlers = {"Call": unary(echo), "Stream": grpc.unary_stream_rpc_method_handler(stream)}
    async with serving(worker, handlers=handlers) as address, RenewingChannel(gateway.current, connect) as channel:
        running = channel.unary_stream("/test.Test/Stream")(b"x", timeout=SECONDS)
        assert await running.read() == b"begun"
        AUTHORITY.write(tmp_path, "gateway", "gateway")
        await channel.unary_unary("/test.Test/Call")(b"x", timeout=SECONDS)
        first, second = opened
        assert first.get_state() is grpc.ChannelConnectivity.READY
        go_on.set()
        assert await running.read() is grpc.aio.EOF
        while channel._former or channel._closing:  # noqa: ASYNC110  # the loop turns until then
            await asyncio.sleep(0)
        with pytest.raises(grpc.aio.UsageError):
            await first.unary_unary("/test.Test/Call")(b"x")
        assert second.get_state() is grpc.ChannelConnectivity.READY
