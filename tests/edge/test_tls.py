"""A real Envoy with a certificate: who gets in, over which protocols, and how a renewed one is taken up."""

import asyncio
import contextlib
import pathlib
import shutil
import ssl
import tempfile

import grpc
import httpx2
import openai
import pytest
import pytest_asyncio
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.gateway.v1 import inference_service_pb2_grpc as inference_grpc

from services.cli.chat import chat
from services.cli.problem import Problem
from services.cli.state import MeshState
from tests.edge.certificates import Authority
from tests.edge.conftest import running_edge, serving

pytestmark = [pytest.mark.edge, pytest.mark.asyncio(loop_scope="module")]

ASK = [{"role": "user", "content": "x"}]
AUTHORITY = Authority()


@pytest.fixture(scope="module")
def files():
    """A directory with the edge's certificate and its authority's."""
    with tempfile.TemporaryDirectory(prefix="tls", dir="/tmp") as name:
        directory = pathlib.Path(name)
        AUTHORITY.write(directory, "edge")
        AUTHORITY.write(directory, "caller")
        (directory / "ca.crt").write_bytes(AUTHORITY.pem)
        yield directory


@pytest.fixture(scope="module")
def sections(files):
    return {"edge": {"tls": {"certificate": f"{files}/edge.crt", "key": f"{files}/edge.key"}}}


@pytest.fixture(scope="module")
def trust(files):
    return ssl.create_default_context(cafile=f"{files}/ca.crt")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def https(mesh, trust):
    async with httpx2.AsyncClient(base_url=f"https://127.0.0.1:{mesh[0].port}", verify=trust, timeout=10) as client:
        yield client


async def shown(envoy, *, protocols=(), version=None):
    """A new connection: what the edge chose of `protocols`, the version of TLS, and its certificate's number."""
    context = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if version:
        context.minimum_version = context.maximum_version = version
    _, writer = await asyncio.open_connection("127.0.0.1", envoy.port, ssl=context)
    try:
        socket = writer.get_extra_info("ssl_object")
        return socket.selected_alpn_protocol(), socket.version(), socket.getpeercert()["serialNumber"]
    finally:
        writer.transport.abort()


async def test_the_sdk_streams_over_tls(envoy, gateway, trust):
    async with openai.AsyncOpenAI(
        base_url=f"https://localhost:{envoy.port}/v1",
        api_key="sk",
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(verify=trust),
    ) as sdk:
        for text in ("Pa", "ris", ""):
            gateway.script.allowed.put_nowait(text)
        stream = await sdk.chat.completions.create(model="stream", messages=ASK, stream=True)
        assert [chunk.choices[0].delta.content async for chunk in stream] == ["Pa", "ris", None]


@pytest.mark.parametrize(("offered", "chosen"), [(("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1"), ((), None)])
async def test_the_protocol_is_agreed_on_in_the_handshake(envoy, offered, chosen):
    assert (await shown(envoy, protocols=offered))[0] == chosen


async def test_native_grpc_is_spoken(envoy):
    credentials = grpc.ssl_channel_credentials(AUTHORITY.pem)
    async with grpc.aio.secure_channel(f"localhost:{envoy.port}", credentials) as channel:
        answer = await inference_grpc.InferenceServiceStub(channel).Generate(inference.GenerateRequest(), timeout=5)
    assert answer.choices[0].content.text == "Paris"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # that is the point
async def test_old_versions_of_tls_are_refused(envoy):
    assert (await shown(envoy, version=ssl.TLSVersion.TLSv1_2))[1] == "TLSv1.2"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await shown(envoy, version=ssl.TLSVersion.TLSv1_1)


async def test_plain_text_is_refused(envoy):
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{envoy.port}") as client:
        with pytest.raises((httpx2.TransportError, ssl.SSLError)):
            await client.get("/v1/models")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{envoy.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await inference_grpc.InferenceServiceStub(channel).Generate(inference.GenerateRequest(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_hybrid_chat_trusts_the_certificate_it_knows_and_no_other(envoy, gateway, files, tmp_path, capsys):
    def asked(certificate):
        mesh = MeshState(1, "ready", "", f"https://127.0.0.1:{envoy.port}", (), None, ("stream",), certificate)
        chat(mesh, "x", None)

    AUTHORITY.write(tmp_path, "other")
    with pytest.raises(Problem, match="does not answer"):
        await asyncio.to_thread(asked, f"{tmp_path}/other.crt")
    for text in ("Pa", "ris", ""):
        gateway.script.allowed.put_nowait(text)
    await asyncio.to_thread(asked, f"{files}/edge.crt")
    printed = capsys.readouterr().out  # with the log of the gateway in this process in between
    assert "Pa" in printed
    assert "ris" in printed


async def test_a_renewed_certificate_is_taken_up_when_it_is_renamed_into_its_place(envoy, gateway, files, https):
    gateway.script.allowed.put_nowait("Pa")
    before = (await shown(envoy))[2]
    async with https.stream("POST", "/v1/chat/completions", json={"model": "stream"}) as running:
        AUTHORITY.write(files, "new")
        for suffix in ("key", "crt"):
            (files / f"new.{suffix}").replace(files / f"edge.{suffix}")
        async with asyncio.timeout(30):
            while (await shown(envoy))[2] == before:  # noqa: ASYNC110  # happens in another process
                await asyncio.sleep(0.02)
        # What runs is not cut.
        for text in ("ris", ""):
            gateway.script.allowed.put_nowait(text)
        assert "[DONE]" in (await running.aread()).decode()


async def test_a_certificate_without_its_key_is_not_taken_up(envoy, files):
    before = (await shown(envoy))[2]
    shutil.copy(files / "edge.crt", files / "kept.crt")
    AUTHORITY.write(files, "new")
    (files / "new.crt").replace(files / "edge.crt")
    async with asyncio.timeout(30):
        while not await envoy.stat("sds.tls_certificate-.*.key_rotation_failed"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert (await shown(envoy))[2] == before
    (files / "kept.crt").replace(files / "edge.crt")


async def test_without_a_certificate_that_it_knows_a_caller_stays_outside(files, trust):
    tls = {"certificate": f"{files}/edge.crt", "key": f"{files}/edge.key", "client_ca": f"{files}/ca.crt"}
    stranger = Authority("stranger")
    stranger.write(files, "stranger")
    with running_edge(edge={"tls": tls}) as running:
        async with serving(running):
            known = ssl.create_default_context(cafile=f"{files}/ca.crt")
            known.load_cert_chain(f"{files}/caller.crt", f"{files}/caller.key")
            unknown = ssl.create_default_context(cafile=f"{files}/ca.crt")
            unknown.load_cert_chain(f"{files}/stranger.crt", f"{files}/stranger.key")
            for context, gets_in in ((known, True), (unknown, False), (trust, False)):
                async with httpx2.AsyncClient(base_url=f"https://localhost:{running.port}", verify=context) as client:
                    with contextlib.nullcontext() if gets_in else pytest.raises((httpx2.TransportError, ssl.SSLError)):
                        assert (await client.get("/v1/models")).status_code == 200
