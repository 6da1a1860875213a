"""What a caller says is in no log, no metric, no trace and no error, and in no table but where its key wants it kept.

One mesh serves callers with each content policy. Each says the same, with words of its own, in every place there is.
"""

import asyncio
import base64
import dataclasses
import json
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any, get_args

import asyncpg
import grpc
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.gateway.v1 import inference_service_pb2_grpc as gateway_grpc
from hybridinference.inference.v1 import conversation_pb2 as conversation

from services.chassis.channel import open_channel
from services.gateway.identity.credential import Credential
from services.gateway.identity.grant import Content
from services.gateway.identity.peppers import Peppers
from tests.gateway.identity import keys
from tests.mesh.driver import Mesh, mesh, wait_until
from tests.mesh.scrape import exposition
from tests.vendors.http_server import Asked, Script, failing, in_a_thread
from tests.vendors.openai_server import error, openai_server, text, tool_calls

pytestmark = [pytest.mark.slow, pytest.mark.edge]

CONFIG = """
access: {cached_keys: 100}
gateway: {drain_seconds: 2, show_worker: true}
log: {level: debug}
providers:
  echo: {kind: echo, workers: 1, drain_seconds: 2}
  vendor: {kind: openai, base_url: %s, api_keys: [%s], models: [{name: v}], drain_seconds: 2}
models:
  - name: echo
    routes: [{provider: echo}]
  - name: vendor
    routes: [{provider: vendor}]
"""
VENDOR_KEY = "vendor-c4n4ry-key-that-is-like-no-other"
BROKEN = 299  # a stream that breaks off in the middle
HEADER = "h34d3r-c4n4ry"
LABEL = "l4b3l-c4n4ry"  # who calls on whose behalf, and the conversation: kept in the ledger on purpose
MODEL = "m0d3l-c4n4ry"  # that there is not: in the ledger, so that who asks for it can be told so
REQUEST_ID = "1d-c4n4ry"  # in logs and the ledger, so that callers can find their requests by it
AGENT = "4g3nt-c4n4ry"  # the program that calls: in the access log on purpose
HEADERS = {
    "x-api-key": HEADER,
    "x-anything": HEADER,
    "cookie": f"session={HEADER}",
    "proxy-authorization": f"Bearer {HEADER}",
    "openai-organization": HEADER,
    "openai-project": HEADER,
    "traceparent": f"00-{HEADER}-01",
    "tracestate": f"a={HEADER}",
    "baggage": f"a={HEADER}",
    "referer": f"http://{HEADER}.example/",
    "x-forwarded-for": HEADER,
    "x-hybrid-tenant": HEADER,
    "x-http-status": HEADER,
    "x-request-id": REQUEST_ID,
    "user-agent": AGENT,
}
# Of which the caller is told that they are wrong.
WRONG_HEADERS = ("criticality", "timeout-ms", "max-cost-usd", "first-content-slo-ms", "tags", "worker")


@dataclasses.dataclass(frozen=True)
class Caller:
    """Somebody with a key.

    Attributes:
        word: what only it says, and no program would take for a secret.
        secret: what only it says, and looks like one.
    """

    credential: Credential
    policy: Content

    @property
    def word(self) -> str:
        return f"w0rd-c4n4ry-{self.policy}"

    @property
    def secret(self) -> str:
        return f"sk-s3cr3t-c4n4ry-{self.policy}"

    @property
    def said(self) -> str:
        return f"{self.word} {self.secret}"

    @property
    def headers(self) -> dict[str, str]:
        """Each time with another idempotency key: the answers of equal ones would be repeated."""
        return {
            **HEADERS,
            "authorization": f"Bearer {self.credential.text()}",
            "content-type": "application/json",
            "idempotency-key": f"{HEADER}-{uuid.uuid4()}",
        }


@dataclasses.dataclass(frozen=True)
class Scene:
    """A mesh that says as much as it can, its callers, and what it has asked a vendor that repeats all it hears."""

    mesh: Mesh
    callers: dict[Content, Caller]
    asked: list[Asked]

    @property
    def dsn(self) -> str:
        return str(json.loads((self.mesh.home / "run/supervisor.json").read_text())["dsn"])

    def post(self, caller: Caller, path: str, body: Any, **headers: str) -> tuple[int, str]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.mesh.port}{path}"
        answer = self.mesh.client._client.post(url, content=data, headers={**caller.headers, **headers})
        return answer.status_code, f"{answer.headers}\n{answer.text}"


def repeating(asked: Asked) -> Script:
    """A vendor that says what it was asked, and with which key: in what it answers, in errors, in headers."""
    said = f"{asked.key} {json.dumps(asked.body)}"
    wanted = asked.body.get("seed", 200)
    headers = {"x-request-id": asked.key, "openai-organization": asked.key, "www-authenticate": f"Bearer {asked.key}"}
    if wanted == 200:
        words = [f"{word} " for word in json.dumps(asked.body["messages"]).split(" ")]
        called = tool_calls().replace("Kö".encode(), f"{asked.body['messages'][-1]['content']} K".encode())
        return Script(called if "tools" in asked.body else text(*words))
    if wanted == BROKEN:
        return Script(text("begins", said), cut_after=700, reset=True)
    return failing(wanted, error(said, kind=said, code=said), **headers, retry_after=said)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with in_a_thread(openai_server(repeating)) as vendor, mesh(CONFIG % (vendor.base_url, VENDOR_KEY)) as running:
        made = Scene(running, {}, vendor.asked)
        peppers = Peppers.of_file(running.home / "pepper.key")
        for policy in get_args(Content):
            stored = keys.insert(made.dsn, keys.made(), peppers=peppers, content=policy)
            made.callers[policy] = Caller(asyncio.run(stored), policy)
        yield made


def chats(caller: Caller) -> list[tuple[int, dict[str, Any]]]:
    """Chat requests, each with what is expected of it, so that every way through the mesh is really taken."""
    said = caller.said
    user = {"role": "user", "content": said}
    function = {"name": "f", "arguments": json.dumps({"key": said})}
    turns = [
        user,
        {"role": "assistant", "tool_calls": [{"id": caller.word, "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": caller.word, "content": said},
        user,
    ]
    tool = {"type": "function", "function": {"name": "f", "description": said, "parameters": {"title": said}}}
    picture = base64.b64encode(said.encode()).decode()
    bodies: list[tuple[int, dict[str, Any]]] = [
        (200, {}),
        (200, {"stream": True}),
        (200, {"user": LABEL}),
        (200, {"messages": [{"role": "system", "content": said}, {"role": "user", "name": "n", "content": said}]}),
        (200, {"stream": True, "echo": {"fail": "PROVIDER_UNAVAILABLE", "fail_after_tokens": 1}}),
        (503, {"echo": {"fail": "PROVIDER_UNAVAILABLE"}}),
        (502, {"echo": {"cut_after_tokens": 1}}),
        (400, {"echo": {said: said}}),
        (400, {said: said}),
        (200, {"metadata": {"a": said}}),
        (400, {"messages": turns, "tools": [tool]}),
        (400, {"messages": [{"role": said, "content": said}]}),
        (400, {"messages": [{"role": "user", "content": [{"type": said, said: said}]}]}),
        (400, {"messages": [{"role": "user", "content": [image(f"data:image/png;base64,{picture}")]}]}),
        (400, {"messages": [{"role": "user", "content": [image(f"https://host.example/{caller.word}")]}]}),
        (400, {"temperature": said}),
        (400, {"tool_choice": said}),
        (400, {"response_format": {"type": said}}),
        (400, {"stop": [said]}),
        (404, {"model": MODEL}),
        (200, {"model": "vendor"}),
        (200, {"model": "vendor", "messages": turns, "tools": [tool]}),
        (400, {"model": "vendor", "seed": 400}),
        (400, {"model": "vendor", "seed": 422}),
    ]
    return [(expected, {"model": "echo", "messages": [user], **change}) for expected, change in bodies]


# What the vendor says that is held against it: last, since after the first two nobody asks it any more.
OUTAGES = (BROKEN, 500, 429, 403)


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def others(caller: Caller) -> list[tuple[int, str, Any]]:
    """Requests of other kinds."""
    said = caller.said
    messages = [{"role": "user", "content": said}]
    typed = [{"role": "ROLE_USER", "parts": [{"text": said}]}]
    return [
        (200, "/v1/completions", {"model": "echo", "prompt": said, "suffix": None}),
        (200, "/v1/responses", {"model": "echo", "input": said, "instructions": said, "store": False}),
        (200, "/v1/embeddings", {"model": "echo", "input": [said, said]}),
        (200, "/v1/explain", {"model": "echo", "messages": messages}),
        (200, "/api/v1/generate", {"spec": {"model": "echo", "messages": typed}}),
        (400, "/api/v1/generate", {"spec": {said: said}}),
        (400, "/v1/chat/completions", said.encode()),
        (400, "/v1/chat/completions", f'{{"model": "{said}'.encode()),
        (400, "/v1/chat/completions", f'["{said}"]'.encode()),
        (400, "/v1/chat/completions", said.encode("utf-16")),
        (200, f"/v1/chat/completions?api_key={HEADER}", {"model": "echo", "messages": messages}),
    ]


async def leave_early(scene: Scene, caller: Caller) -> None:
    """The typed face, with a deadline that passes in the middle of the answer, at the edge and past it."""
    request = gateway.StreamGenerateRequest()
    request.spec.model = "echo"
    request.spec.messages.add(role=conversation.ROLE_USER).parts.add(text=caller.said)
    request.spec.provider_options_json = json.dumps({"echo": {"hang_after_tokens": 1}})
    request.routing.session = LABEL
    metadata = tuple(
        (name, value) for name, value in caller.headers.items() if name not in ("user-agent", "content-type")
    )
    for address in (f"127.0.0.1:{scene.mesh.port}", scene.mesh.gateway):
        async with open_channel(address) as channel:
            stub = gateway_grpc.InferenceServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError):
                async for _ in stub.StreamGenerate(request, timeout=1.0, metadata=metadata):
                    pass


def speak(scene: Scene, caller: Caller) -> int:
    """Say everything; how many requests the edge has seen over HTTP."""
    count = 0
    for expected, body in chats(caller):
        status, told = scene.post(caller, "/v1/chat/completions", body)
        assert status == expected, (body, told)
        assert VENDOR_KEY not in told.replace(caller.said, ""), body
        count += 1
    for expected, path, body in others(caller):
        status, told = scene.post(caller, path, body)
        assert status == expected, (path, body, told)
        count += 1
    return count


async def test_what_is_said_is_nowhere_but_where_its_key_wants_it(scene: Scene) -> None:
    wrong = Caller(keys.made(), "stored")
    callers = scene.callers.values()
    count = sum(await asyncio.gather(*(asyncio.to_thread(speak, scene, caller) for caller in callers)))
    await asyncio.gather(*(leave_early(scene, caller) for caller in callers))
    nobody = scene.callers["none"]
    good = {"model": "echo", "messages": [{"role": "user", "content": nobody.said}]}

    async def post(caller: Caller, change: dict[str, Any], **headers: str) -> tuple[int, str]:
        return await asyncio.to_thread(scene.post, caller, "/v1/chat/completions", good | change, **headers)

    for header in WRONG_HEADERS:
        status, told = await post(nobody, {}, **{f"x-hybrid-{header}": f"{HEADER} {HEADER}"})
        assert status in (400, 403), told
    assert (await post(nobody, {}, **{"x-hybrid-session": LABEL}))[0] == 200
    for answer in OUTAGES:
        status, told = await post(nobody, {"model": "vendor", "seed": answer, "stream": answer == BROKEN})
        assert (status >= 400) != (answer == BROKEN), told
        assert VENDOR_KEY not in told
    status, told = await post(wrong, {})
    assert status == 401
    assert wrong.credential.secret not in told
    assert any(asked.key == VENDOR_KEY for asked in scene.asked), "no vendor was asked"
    await quote_a_row(scene)
    wait_for_the_end(scene, count + len(WRONG_HEADERS) + 2 + len(OUTAGES) + len(scene.callers))

    secret = [VENDOR_KEY, HEADER, wrong.credential.text(), wrong.credential.secret]
    secret += [part for one in scene.callers.values() for part in (one.word, one.secret, one.credential.secret)]
    of_processes(scene)
    of_files(scene, secret)
    await of_tables(scene, secret)


async def quote_a_row(scene: Scene) -> None:
    """Have PostgreSQL refuse a row with words in it: its error has them, and its log must not."""
    with pytest.raises(asyncpg.CheckViolationError, match=HEADER):
        await keys.execute(
            scene.dsn,
            "INSERT INTO contents VALUES (gen_random_uuid(), 'k', 'of no kind', $1, '', now())",
            HEADER,
        )


def wait_for_the_end(scene: Scene, calls: int) -> None:
    """Envoy writes its access log once a second or so, and the loader what it finds."""
    log = scene.mesh.home / "logs/envoy-access.log"
    wait_until(lambda: log.read_bytes().count(b'"path"') >= calls, seconds=30)
    wait_until(lambda: "hybrid_loader_behind_bytes 0.0" in exposition(scene.mesh, "loader"), seconds=30)


def of_processes(scene: Scene) -> None:
    """No metric of any process has any of it, Envoy's own included."""
    processes = [process["name"] for process in scene.mesh.status()["mesh"]["processes"]]
    told = {
        process: exposition(scene.mesh, process)
        for process in processes
        if (scene.mesh.home / f"run/{process}.metrics.sock").exists()
    }
    assert {"gateway", "router", "loader", "echo-0", "vendor-0"} <= told.keys()
    told["envoy"] = envoy_stats(scene.mesh)
    for process, metrics in told.items():
        assert "c4n4ry" not in metrics, process


def envoy_stats(mesh: Mesh) -> str:
    asking = ["curl", "--silent", "--unix-socket", f"{mesh.home}/run/envoy-admin.sock", "http://a/stats/prometheus"]
    stats = subprocess.run(asking, capture_output=True, text=True, timeout=10, check=True).stdout
    assert "envoy_http_downstream_rq_total" in stats
    return stats


def of_files(scene: Scene, secret: list[str]) -> None:
    """No file has them, but for what a policy lets into the spool and the database, and the configuration its key."""
    kept = {scene.callers["stored"].word, scene.callers["stored"].secret, scene.callers["redacted"].word}
    seen = set()
    for file in scene.mesh.files():
        top = file.relative_to(scene.mesh.home).parts[0]
        data = file.read_bytes()
        allowed = kept if top in ("spool", "postgres") else set()
        found = {word for word in secret if word.encode() in data}
        assert found <= allowed, file
        assert top in ("spool", "postgres") or not (LABEL.encode() in data or MODEL.encode() in data), file
        of_ids = top in ("spool", "postgres") or file.name in ("envoy-access.log", "gateway.log")
        assert of_ids or REQUEST_ID.encode() not in data, file
        assert AGENT.encode() not in data or file.name == "envoy-access.log", file
        seen.add(file.name)
    logs = {"gateway.log", "router.log", "loader.log", "echo-0.log", "vendor-0.log", "postgres.log", "envoy-access.log"}
    assert logs <= seen


# What is in tables on purpose, and in which columns. Contents are looked at one by one.
ON_PURPOSE = {
    LABEL: {("requests", "user_label"), ("requests", "session_label"), ("contents", "input")},
    MODEL: {("requests", "model"), ("contents", "input")},
    REQUEST_ID: {("requests", "edge_request_id")},
    AGENT: set(),
}
_COLUMNS = """
SELECT c.table_name, c.column_name FROM information_schema.columns c
JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema NOT IN ('pg_catalog', 'information_schema') AND t.table_type = 'BASE TABLE'
"""


async def of_tables(scene: Scene, secret: list[str]) -> None:
    """No column of any table has them, but `contents`, which has what each key's policy says."""
    connection = await asyncpg.connect(scene.dsn)
    try:
        found: set[tuple[str, str, str]] = set()
        words = [*secret, *ON_PURPOSE]
        columns = await connection.fetch(_COLUMNS)
        assert {("requests", "model"), ("keys", "mac"), ("contents", "output")} <= {tuple(row) for row in columns}
        for table, column in columns:
            texts = await connection.fetch(f'SELECT coalesce("{column}"::text, \'\') FROM "{table}"')  # bytes as digits
            said = "\n".join(text for (text,) in texts)
            whole = table.partition("_2")[0]  # of a month's partition the table
            found |= {(whole, column, word) for word in words if word in said or word.encode().hex() in said}
        rows = await connection.fetch("SELECT key_id, policy, input, output FROM contents")
    finally:
        await connection.close()
    for word, columns in ON_PURPOSE.items():
        assert {(table, column) for table, column, said in found if said == word} <= columns, word
    assert {("requests", "user_label", LABEL), ("requests", "model", MODEL)} <= found, "nothing was searched"
    spoken = {(table, column) for table, column, word in found if word not in ON_PURPOSE}
    assert spoken == {("contents", "input"), ("contents", "output")}
    by_key = {caller.credential.key_id: caller for caller in scene.callers.values()}
    assert {by_key[row["key_id"]].policy for row in rows} == {"stored", "redacted", "hashed"}
    for row in rows:
        caller = by_key[row["key_id"]]
        said = row["input"] + row["output"]
        assert row["policy"] == caller.policy
        heard = {word for word in secret if word in said}
        if caller.policy == "hashed":
            assert row["input"].startswith("hmac-sha256:")
            assert len(said) == 2 * len("hmac-sha256:") + 128
        else:
            assert heard <= ({caller.word, caller.secret} if caller.policy == "stored" else {caller.word})
            assert caller.word in row["input"] or '"image"' in row["input"]
