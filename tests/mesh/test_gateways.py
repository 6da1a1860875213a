"""Two gateways behind one edge: what clients lose when one dies, and that they lose nothing when one is restarted."""

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import grpc
import openai
import psutil
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.gateway.v1 import inference_service_pb2_grpc as inference_grpc
from hybridinference.inference.v1 import generation_pb2 as generation

from services.config.mesh import load as load_config
from tests.mesh.driver import Mesh, mesh, until
from tests.mesh.scrape import total

pytestmark = [pytest.mark.slow, pytest.mark.edge]

TWO = """
access: {keyless: true}
gateway: {instances: 2, drain_seconds: 20}
providers:
  echo: {kind: echo, workers: 2, token_ms: 10, drain_seconds: 2}
models:
  - name: echo
    routes: [{provider: echo}]
"""
GATEWAYS = ("gateway", "gateway-2")
MESSAGES = [{"role": "user", "content": "word"}]
STREAM_TOKENS, CALL_TOKENS = 80, 3


@pytest.fixture(scope="module")
def two() -> Iterator[Mesh]:
    """A mesh with two gateways."""
    with mesh(TWO) as running:
        yield running


@dataclasses.dataclass(slots=True)
class Call:
    """A call: when it began, what was wrong with it, and its id in the ledger where it has told one."""

    kind: str
    begun: float
    error: Exception | None = None
    generation_id: str = ""


class Load:
    """Clients that call all the time and never try again. `calls` holds those that have ended."""

    def __init__(self, two: Mesh, client: openai.AsyncOpenAI, channel: grpc.aio.Channel) -> None:
        self.calls: list[Call] = []
        self._two = two
        self._client = client
        self._stub = inference_grpc.InferenceServiceStub(channel)
        self._ending = asyncio.Event()

    async def run(self) -> None:
        """Call until told to end."""
        streams = [self._repeat("stream", self.stream, STREAM_TOKENS) for _ in range(4)]
        typed = [self._repeat("typed", self.typed, STREAM_TOKENS) for _ in range(2)]
        calls = [self._repeat("call", self.call, CALL_TOKENS) for _ in range(2)]
        await asyncio.gather(*streams, *typed, *calls)

    def end(self) -> None:
        """Begin no further call."""
        self._ending.set()

    async def _repeat(self, kind, ask, tokens) -> None:
        while not self._ending.is_set():
            call = Call(kind, time.monotonic())
            try:
                call.generation_id = await ask(tokens)
            except (openai.APIError, grpc.aio.AioRpcError) as error:
                call.error = error
            self.calls.append(call)
            await asyncio.sleep(0.02)

    async def stream(self, tokens: int, started: asyncio.Event | None = None) -> str:
        words, reason, name = 0, None, ""
        options = {"echo": {"tokens": tokens}}
        stream = await self._client.chat.completions.create(
            model="echo", messages=MESSAGES, stream=True, extra_body=options
        )
        async for chunk in stream:
            name = chunk.id
            for choice in chunk.choices:
                words += bool(choice.delta.content)
                reason = choice.finish_reason or reason
            if started is not None:
                started.set()
        # Not an error that a client would see: fails the test.
        assert (reason, words) == ("stop", tokens), f"a stream has ended in silence after {words} words"
        return name

    async def call(self, tokens: int) -> str:
        options = {"echo": {"tokens": tokens}}
        answer = await self._client.chat.completions.create(model="echo", messages=MESSAGES, extra_body=options)
        assert answer.usage is not None
        assert answer.usage.completion_tokens == tokens
        return answer.id

    async def typed(self, tokens: int) -> str:
        spec = generation.GenerationSpec(
            model="echo",
            messages=[{"role": "ROLE_USER", "parts": [{"text": "word"}]}],
            provider_options_json=json.dumps({"echo": {"tokens": tokens}}),
        )
        finished = False
        async for response in self._stub.StreamGenerate(inference.StreamGenerateRequest(spec=spec)):
            finished = response.event.WhichOneof("event") == "finished"
        assert finished, "a stream has ended in silence"
        return ""


@pytest.fixture
async def load(two: Mesh) -> AsyncIterator[Load]:
    """Load on that mesh, not begun."""
    async with two.async_client() as client, grpc.aio.insecure_channel(f"127.0.0.1:{two.port}") as channel:
        yield Load(two, client, channel)


def running(two: Mesh) -> dict[str, float]:
    """Requests under way at each gateway."""
    return {name: total(two, name, "hybrid_gateway_requests_running") for name in GATEWAYS}


def dead(pid: int) -> bool:
    """Whether all of a process is gone. As long as there is a zombie a thread of it may hold its connections open."""
    return not psutil.pid_exists(pid)


async def test_a_killed_gateway_takes_only_its_running_streams_with_it(two: Mesh, load: Load) -> None:
    started = [asyncio.Event() for _ in range(16)]
    streams = [asyncio.create_task(load.stream(600, event)) for event in started]
    await asyncio.gather(*(event.wait() for event in started))
    carried = running(two)
    assert sum(carried.values()) == 16
    assert min(carried.values()) >= 1, "both gateways have something to do"

    under_load = asyncio.create_task(load.run())
    await until(lambda: len(load.calls) >= 4, seconds=30)
    pid = two.pid("gateway")
    two.kill("gateway")
    await until(lambda: dead(pid), seconds=30)
    gone = time.monotonic()
    results = await asyncio.gather(*streams, return_exceptions=True)
    failed = [result for result in results if isinstance(result, BaseException)]
    assert len(failed) == carried["gateway"], failed
    assert all(isinstance(error, openai.APIError) for error in failed), failed

    # On through the restart, which the edge notices by itself.
    def is_called() -> bool:
        with contextlib.suppress(OSError, TypeError):  # it does not answer, or there is none
            return two.pid("gateway") != pid and running(two)["gateway"] > 0
        return False

    await until(is_called, seconds=30)
    load.end()
    await under_load
    lost = [call for call in load.calls if call.error]
    assert len(lost) <= 8, "more than the clients that called when it died"
    late = [call for call in load.calls if call.begun > gone]
    assert not [call for call in late if call.error]
    assert len(late) > 10, "there were calls at all"
    print(f"lost {len(failed)} of 16 streams, and {len(lost)} of {len(load.calls)} calls that ran meanwhile")


async def test_restarting_one_gateway_after_the_other_loses_no_call(two: Mesh, load: Load) -> None:
    before = {name: two.pid(name) for name in GATEWAYS}
    under_load = asyncio.create_task(load.run())
    await until(lambda: min(running(two).values()) >= 1, seconds=30)
    for name in GATEWAYS:
        begun = time.monotonic()
        done = await asyncio.to_thread(two.hybrid, "restart", name)
        assert (done.returncode, done.stdout) == (0, f"{name} serves again\n"), done.stderr
        print(f"{name} serves again after {time.monotonic() - begun:.1f} s")
    await until(lambda: min(running(two).values()) >= 1, seconds=30)
    load.end()
    await under_load
    assert {name: two.pid(name) != pid for name, pid in before.items()} == dict.fromkeys(GATEWAYS, True)
    assert not [call for call in load.calls if call.error]
    assert {call.kind for call in load.calls} == {"stream", "typed", "call"}
    print(f"{len(load.calls)} calls, none lost")
    await recorded(two, load.calls[-500:])
    # The gateways have shared a key all the time, and it is nobody else's business.
    key = two.home / "tenant.key"
    assert key.stat().st_mode & 0o777 == 0o600
    for log in (two.home / "logs").iterdir():
        assert key.read_bytes() not in log.read_bytes(), log.name
        assert key.read_bytes().hex() not in log.read_text(errors="replace"), log.name


async def test_a_reload_gives_the_edge_its_new_limits_and_names_what_waits_for_a_restart(two: Mesh, load: Load) -> None:
    async def reload(text: str) -> tuple[int, str, str]:
        two.configure(text)
        done = await asyncio.to_thread(two.hybrid, "reload")
        return done.returncode, done.stdout, done.stderr

    started = asyncio.Event()
    stream = asyncio.create_task(load.stream(400, started))
    await started.wait()
    changed = TWO.replace("token_ms: 10", "token_ms: 11") + "edge: {limits: {request_bytes: 2000}}\n"
    code, out, err = await reload(changed)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "the edge has taken it",
        f"version {load_config(two.config).version} is used by router, admin, gateway, gateway-2",
        "takes effect when the processes that read it start again: providers.echo",
        "to be started again with `hybrid restart`: echo-0, echo-1",
    ]
    with pytest.raises(openai.APIStatusError) as refused:
        await two_words(two, "x" * 3000)
    assert refused.value.status_code == 413

    code, out, err = await reload(f"{changed}log: {{levle: debug}}\n")
    assert (code, out) == (2, "")
    line = len(changed.splitlines()) + 1
    assert err.startswith(f"{two.config}:{line}: `log.levle` is not known")
    with pytest.raises(openai.APIStatusError):
        await two_words(two, "x" * 3000)
    assert await stream

    code, out, err = await reload(TWO)
    assert (code, err) == (0, "")
    assert out.startswith("the edge has taken it\nversion ")
    await two_words(two, "x" * 3000)


async def test_a_reload_brings_models_and_aliases_to_router_and_gateways_and_cuts_no_call(
    two: Mesh, load: Load
) -> None:
    under_load = asyncio.create_task(load.run())
    await until(lambda: len(load.calls) >= 4, seconds=30)
    two.configure(TWO.replace("- name: echo", "- name: other\n    aliases: [echo]"))
    done = await asyncio.to_thread(two.hybrid, "reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("is used by router, admin, gateway, gateway-2\n")
    async with two.async_client() as client:
        assert [model.id async for model in client.models.list()] == ["other"]
        for _ in range(4):
            await client.chat.completions.create(model="other", messages=MESSAGES, extra_body={"echo": {"tokens": 2}})
    seen = len(load.calls)
    await until(lambda: len(load.calls) > seen + 8, seconds=30)
    load.end()
    await under_load
    assert not [call for call in load.calls if call.error]
    two.configure(TWO)
    assert (await asyncio.to_thread(two.hybrid, "reload")).returncode == 0


async def test_gateways_come_and_go_with_a_reload_and_no_call_is_lost(two: Mesh, load: Load) -> None:
    async def of(instances: int) -> None:
        two.configure(TWO.replace("instances: 2", f"instances: {instances}"))
        done = await asyncio.to_thread(two.hybrid, "reload")
        assert (done.returncode, done.stderr) == (0, "")
        names = ", ".join(f"gateway-{number}" for number in range(2, instances + 1))
        assert done.stdout.startswith("the edge has taken it\nversion ")
        assert done.stdout.endswith(f" is used by router, admin, gateway, {names}\n")

    def processes() -> set[str]:
        state = json.loads((two.home / "run/supervisor.json").read_text(encoding="utf-8"))
        return {process["name"] for process in state["processes"]}

    under_load = asyncio.create_task(load.run())
    await until(lambda: len(load.calls) >= 4, seconds=30)
    await of(3)
    assert {"gateway-3", "loader-3"} < processes()
    await until(lambda: total(two, "gateway-3", "hybrid_gateway_requests_running") > 0, seconds=30)
    await of(2)
    assert not {"gateway-3", "loader-3"} & processes()
    load.end()
    await under_load
    assert not [call for call in load.calls if call.error]
    # Those of the gateway that has gone among them: it has left its records to its loader.
    await recorded(two, load.calls[-500:])


async def recorded(two: Mesh, calls: Sequence[Call]) -> None:
    """Wait until the ledger has a row of each call that has told its id."""
    wanted = {call.generation_id.removeprefix("chatcmpl-").replace("-", "") for call in calls} - {""}
    missing: set[str] = set()

    def all_there() -> bool:
        rows = json.loads(two.hybrid("requests", "--json", "--limit", "1000").stdout)
        missing.clear()
        missing.update(wanted - {row["generation_id"].replace("-", "") for row in rows})
        return not missing

    try:
        await until(lambda: asyncio.to_thread(all_there), seconds=30)
    except AssertionError:
        pytest.fail(f"the ledger has no row of {len(missing)} of {len(wanted)} calls: {sorted(missing)}")


async def two_words(two: Mesh, text: str) -> None:
    async with two.async_client() as client:
        await client.chat.completions.create(
            model="echo", messages=[{"role": "user", "content": text}], extra_body={"echo": {"tokens": 2}}
        )


def test_a_named_request_runs_once_whichever_gateway_its_tries_reach(two: Mesh) -> None:
    ids: list[str] = []
    for number in range(6):
        asked = {"model": "echo", "messages": MESSAGES, "extra_headers": {"Idempotency-Key": f"order-{number}"}}
        tries = [two.client.chat.completions.with_raw_response.create(**asked) for _ in range(4)]  # type: ignore[call-overload]
        assert [each.headers.get("idempotent-replayed") for each in tries] == [None, "true", "true", "true"]
        assert len({each.text for each in tries}) == 1
        ids.append(tries[0].parse().id)
    assert len(set(ids)) == len(ids)
    for each in ids:  # by whichever gateway's loader: one may be later than the other
        two.row_of(each.removeprefix("chatcmpl-"))
    rows = [row["generation_id"] for row in two.requests()]
    assert [rows.count(each.removeprefix("chatcmpl-")) for each in ids] == [1] * len(ids)


def test_a_named_stream_that_was_cut_off_is_whole_at_the_next_try_and_has_run_once(two: Mesh) -> None:
    asked = {
        "model": "echo",
        "messages": [{"role": "user", "content": "one two three four five six seven eight"}],
        "stream": True,
        "extra_headers": {"Idempotency-Key": "cut-off"},
    }
    with two.client.chat.completions.create(**asked) as cut:  # type: ignore[call-overload]
        first = next(iter(cut))
    pieces = list(two.client.chat.completions.create(**asked))  # type: ignore[call-overload]
    assert {piece.id for piece in pieces} == {first.id}
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert text.split() == ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    assert two.row_of(first.id.removeprefix("chatcmpl-"))["outcome"] == "success"
