"""A mesh with keys, through Envoy: who gets in by which way, who does not, and what is told to them."""

import contextlib
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx2
import openai
import psutil
import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import error_details_pb2
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.gateway.v1 import inference_service_pb2_grpc as gateway_grpc
from hybridinference.gateway.v1 import openai_service_pb2 as compatible
from hybridinference.gateway.v1 import overview_service_pb2 as overview

from services.chassis.channel import open_channel
from services.cli import requests, running
from services.cli.home import Home
from services.gateway.identity.credential import Credential, parse
from services.gateway.identity.peppers import Peppers
from tests.gateway.identity.keys import change, insert, made
from tests.mesh.driver import Mesh, mesh, until

pytestmark = [pytest.mark.slow, pytest.mark.edge]

CONFIG = """
access: {keyless: false}
gateway: {drain_seconds: 2}
providers:
  echo: {kind: echo}
models:
  - name: echo
    aliases: [also]
    routes: [{provider: echo}]
  - name: other
    routes: [{provider: echo}]
"""
# What Envoy answers by itself. Every other path and method of the edge needs a key.
OPEN_PATHS = ("/healthz", "/openapi.json", "/", "/page/style.css", "/page/script.js")
# Answers whoever shows no key as well, with counts.
OPEN_SERVICE = overview.DESCRIPTOR.services_by_name["OverviewService"]
OPEN_SERVICES = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
SERVICES = (
    gateway.DESCRIPTOR.services_by_name["InferenceService"],
    compatible.DESCRIPTOR.services_by_name["OpenAIService"],
)
METHODS: list[MethodDescriptor] = [method for service in SERVICES for method in service.methods]
MESSAGES: Any = [{"role": "user", "content": "one two"}]


class Keyed:
    """A mesh, and what its operator has at hand."""

    def __init__(self, behind: Mesh) -> None:
        self.mesh = behind
        self.base = f"http://127.0.0.1:{behind.port}"
        self.peppers = Peppers.of_file(behind.home / "pepper.key")
        self.dsn = requests.dsn_of(running.required(Home(behind.home)))

    async def key(self, **columns: Any) -> Credential:
        """A new key."""
        return await insert(self.dsn, made(), peppers=self.peppers, **{"owner": "callers", **columns})

    def client(self, key: Credential | None) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.base}/v1", api_key=key.text() if key else "none", max_retries=0)


@pytest.fixture(scope="module")
def keyed() -> Iterator[Keyed]:
    with mesh(CONFIG) as behind:
        yield Keyed(behind)


def headers(key: Credential | None) -> dict[str, str]:
    return {"authorization": f"Bearer {key.text()}"} if key else {}


def grpcurl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(pathlib.Path(sys.executable).with_name("grpcurl")), "-plaintext", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def path_of(method: MethodDescriptor) -> tuple[str, str]:
    """Verb and path of a method at the edge."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    return verb.upper(), getattr(rule, verb).replace("{id=**}", "echo")


async def test_every_path_and_every_method_of_the_edge_is_refused_without_a_right_key(keyed: Keyed) -> None:
    right, revoked = await keyed.key(), await keyed.key(revoked_at=None)
    await change(keyed.dsn, revoked, "revoked_at = now()")
    wrong = [None, made(), made(key_id=right.key_id), revoked]
    async with httpx2.AsyncClient(base_url=keyed.base) as client, open_channel(keyed.base[7:]) as channel:
        for verb, path in map(path_of, METHODS):
            for key in wrong:
                refused = await client.request(verb, path, headers=headers(key), json={} if verb == "POST" else None)
                assert refused.status_code == 401, (path, refused.text)
                assert refused.headers["www-authenticate"] == "Bearer"
            allowed = await client.request(verb, path, headers=headers(right), json={} if verb == "POST" else None)
            assert allowed.status_code in (200, 400), (path, allowed.text)
        for method in METHODS:
            name = f"/{method.containing_service.full_name}/{method.name}"
            for key in wrong:
                metadata = tuple(headers(key).items())
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await channel.unary_unary(name)(b"", metadata=metadata, timeout=5)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED, name
        for path in OPEN_PATHS:
            assert (await client.get(path)).status_code == 200
        for path in (
            "/page/",
            "/v1",
            "/v1/",
            "/api/",
            "/metrics",
            "/admin",
            "/v1/admin/keys",
            "/config_dump",
            "//v1/models",
        ):
            assert (await client.get(path)).status_code in (401, 404), path


def test_reflection_names_no_service_that_is_not_accounted_for(keyed: Keyed) -> None:
    assert set(grpcurl(keyed.base[7:], "list").stdout.split()) == OPEN_SERVICES | {
        service.full_name for service in (*SERVICES, OPEN_SERVICE)
    }


def test_the_sdk_is_told_in_openais_words(keyed: Keyed) -> None:
    with keyed.client(None) as client, pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model="echo", messages=MESSAGES)
    assert caught.value.status_code == 401
    assert caught.value.code == "invalid_api_key"
    assert caught.value.type == "authentication_error"
    assert "authorization: Bearer hi_" in caught.value.message
    with keyed.client(None) as client, pytest.raises(openai.AuthenticationError):
        list(client.chat.completions.create(model="echo", messages=MESSAGES, stream=True))


async def test_a_native_client_is_told_by_a_reason(keyed: Keyed) -> None:
    async with open_channel(keyed.base[7:]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway_grpc.InferenceServiceStub(channel).Generate(gateway.GenerateRequest(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    trailers = dict(caught.value.trailing_metadata() or ())
    assert b"CREDENTIAL_INVALID" in trailers["grpc-status-details-bin"]
    assert error_details_pb2.ErrorInfo.DESCRIPTOR.full_name.encode() in trailers["grpc-status-details-bin"]


async def test_a_key_is_good_for_its_models_and_its_scopes_by_both_faces(keyed: Keyed) -> None:
    key = await keyed.key(models=["echo"], scopes=["generate", "models"])
    with keyed.client(key) as client:
        for name in ("echo", "also"):
            answer = client.chat.completions.create(model=name, messages=MESSAGES)
            assert answer.choices[0].message.content == "one two"
        assert [model.id for model in client.models.list()] == ["echo"]
        messages = []
        for name in ("other", "nobody", "other' OR 1=1 --"):
            with pytest.raises(openai.NotFoundError) as caught:
                client.chat.completions.create(model=name, messages=MESSAGES)
            assert caught.value.code == "model_not_found"
            messages.append(caught.value.message.replace(name, "*"))
        assert len(set(messages)) == 1, "one that is not the key's is told from one that there is not"
        with pytest.raises(openai.PermissionDeniedError, match="scope `embed`"):
            client.embeddings.create(model="echo", input="x")
    spec = json.dumps({"spec": {"model": "echo", "messages": [{"role": "ROLE_USER", "parts": [{"text": "hello"}]}]}})
    given = ["-H", f"authorization: Bearer {key.text()}", "-d", spec, keyed.base[7:]]
    done = grpcurl(*given, f"{SERVICES[0].full_name}/Generate")
    assert '"text": "hello"' in done.stdout, done.stderr
    assert "PermissionDenied" in grpcurl(*given, f"{SERVICES[0].full_name}/ExplainRoute").stderr


async def test_a_revoked_key_is_refused_within_five_seconds(keyed: Keyed) -> None:
    key = await keyed.key()
    with keyed.client(key) as client:
        client.models.list()
        await change(keyed.dsn, key, "revoked_at = now()")

        def refused() -> bool:
            with contextlib.suppress(openai.AuthenticationError):
                client.models.list()
                return False
            return True

        assert await until(refused, seconds=5) < 5


async def test_with_the_database_away_known_keys_work_and_unknown_ones_are_to_come_back(keyed: Keyed) -> None:
    known, other = await keyed.key(), await keyed.key()
    with keyed.client(known) as client, keyed.client(other) as stranger:
        client.chat.completions.create(model="echo", messages=MESSAGES)
        with suspended(keyed.mesh):
            begun = time.monotonic()
            client.chat.completions.create(model="echo", messages=MESSAGES)
            assert time.monotonic() - begun < 1
            with pytest.raises(openai.InternalServerError) as caught:
                stranger.models.list()
            assert caught.value.status_code == 503
            assert int(caught.value.response.headers["retry-after"]) >= 1

        def let_in() -> bool:
            with contextlib.suppress(openai.InternalServerError):
                return bool(stranger.models.list().data)
            return False

        await until(let_in, seconds=30)


async def test_a_key_of_the_command_line_calls_is_accounted_for_rotated_and_revoked(keyed: Keyed) -> None:
    hybrid = keyed.mesh.hybrid
    made = hybrid("keys", "create", "--owner", "shell", "--model", "echo", "--expires", "1h")
    assert made.returncode == 0, made.stderr
    first = parse(made.stdout.strip())
    assert first
    with keyed.client(first) as client:
        assert client.chat.completions.create(model="echo", messages=MESSAGES).choices[0].message.content == "one two"
    second = parse(hybrid("keys", "rotate", first.key_id, "--grace", "1h").stdout.strip())
    assert second
    with keyed.client(second) as client:
        await until(lambda: lets_in(client), seconds=30)
        with keyed.client(first) as before:
            assert lets_in(before)
        revoked = hybrid("keys", "revoke", second.text())
        assert revoked.stdout == f"{first.key_id} is revoked\n"
        await until(lambda: not lets_in(client), seconds=30)
    listed = json.loads(hybrid("keys", "list", "--owner", "shell", "--all", "--json").stdout)
    assert [(key["key_id"], key["created_by"], key["models"]) for key in listed] == [(first.key_id, "root", ["echo"])]

    def used() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(
            hybrid("usage", "--by", "key,model", "--key", first.key_id, "--json").stdout
        )
        return rows

    await until(used, seconds=30)
    [row] = used()
    assert (row["key"], row["model"], row["requests"], row["attempts"]) == (first.key_id, "echo", 1, 1)
    assert row["output_tokens"] > 0
    nobody = hybrid("keys", "list", "--operator-credential", str(keyed.mesh.home / "pepper.key"))
    assert (nobody.returncode, nobody.stdout) == (2, "")


def test_an_operators_credential_is_no_key_and_the_admin_service_is_nowhere_but_on_its_socket(keyed: Keyed) -> None:
    credential = (keyed.mesh.home / "admin.key").read_text().strip()
    refused = httpx2.get(f"{keyed.base}/v1/models", headers={"authorization": f"Bearer {credential}"})
    assert refused.status_code == 401
    method = "hybridinference.gateway.v1.AdminService/ListKeys"
    given = ("-H", f"authorization: Bearer {credential}", "-import-path", "protos", "-proto")
    contract = "hybridinference/gateway/v1/admin_service.proto"
    edge = grpcurl(*given, contract, keyed.base[7:], method)
    gateway_itself = grpcurl(*given, contract, "-unix", str(keyed.mesh.socket("gateway")), method)
    assert "Unimplemented" in edge.stderr or "Unauthenticated" in edge.stderr, edge.stderr
    assert "Unimplemented" in gateway_itself.stderr, gateway_itself.stderr
    assert grpcurl(*given, contract, "-unix", str(keyed.mesh.socket("admin")), method).returncode == 0


def lets_in(client: openai.OpenAI) -> bool:
    """Whether a client's key is taken."""
    with contextlib.suppress(openai.AuthenticationError):
        return bool(client.models.list().data)
    return False


@contextlib.contextmanager
def suspended(behind: Mesh) -> Iterator[None]:
    """The database hangs."""
    server = psutil.Process(behind.pid("postgres"))
    server.suspend()
    held = [server]
    try:
        held += server.children(recursive=True)
        for child in held[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):  # a backend whose client has just gone
                child.suspend()
        yield
    finally:
        for process in held:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


def test_no_key_is_in_a_log(keyed: Keyed) -> None:
    for path in keyed.mesh.home.glob("logs/*"):
        assert "hi_" not in path.read_text(errors="replace"), path
