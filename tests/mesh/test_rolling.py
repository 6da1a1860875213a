"""A mesh under load: what is restarted, drained or reloaded loses no call that is shorter than the grace."""

import asyncio
import collections
import json
import signal
import time
from collections.abc import Iterator

import grpc
import openai
import psutil
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.gateway.v1 import inference_service_pb2_grpc as inference_grpc
from hybridinference.inference.v1 import generation_pb2 as generation

from services.cli.home import Home
from services.cli.restart import restart
from services.config.mesh import load as load_config
from tests.mesh.driver import Mesh, mesh, until
from tests.mesh.scrape import exposition, total, version

pytestmark = [pytest.mark.slow, pytest.mark.edge, pytest.mark.timeout(600)]

ROLLED = """
access: {keyless: true}
gateway: {instances: 2, drain_seconds: 20}
providers:
  echo: {kind: echo, workers: 2, token_ms: 10, drain_seconds: 60}
models:
  - name: echo
    routes: [{provider: echo}]
  - name: other
    routes: [{provider: echo}]
"""
# Envoy twice: the third of its kind takes over from the second as that has from the first.
ORDER = ("envoy", "echo-0", "echo-1", "router", "loader", "loader-2", "admin", "gateway", "gateway-2", "envoy")
MESSAGES = [{"role": "user", "content": "word"}]
TOKENS = 60


@pytest.fixture(scope="module")
def rolled() -> Iterator[Mesh]:
    """A mesh with two of all that can be two."""
    with mesh(ROLLED) as running:
        yield running


class Load:
    """Clients that call all the time and never try again, over connections that they keep."""

    def __init__(self, rolled: Mesh) -> None:
        self.ended: collections.Counter[str] = collections.Counter()
        self.failed: list[tuple[str, str]] = []
        self._rolled = rolled
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Call until told to end."""
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{self._rolled.port}")
        async with self._rolled.async_client() as client, channel, asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(self._repeat("stream", lambda: self._stream(client)))
                tasks.create_task(self._repeat("call", lambda: self._call(client)))
            tasks.create_task(self._repeat("typed", lambda: self._typed(channel)))

    def end(self) -> None:
        """Begin no further call."""
        self._over.set()

    async def _repeat(self, kind, ask) -> None:
        while not self._over.is_set():
            try:
                await ask()
            except (openai.APIError, grpc.aio.AioRpcError) as error:
                self.failed.append((kind, f"{type(error).__name__}: {error} {error.__cause__}"))
            self.ended[kind] += 1
            await asyncio.sleep(0.1)

    async def _stream(self, client: openai.AsyncOpenAI) -> None:
        words, reason = 0, None
        options = {"echo": {"tokens": TOKENS}}
        stream = await client.chat.completions.create(model="echo", messages=MESSAGES, stream=True, extra_body=options)
        async for chunk in stream:
            for choice in chunk.choices:
                words += bool(choice.delta.content)
                reason = choice.finish_reason or reason
        # Not an error that a client would see: fails the test.
        assert (reason, words) == ("stop", TOKENS), f"a stream has ended in silence after {words} words"

    async def _call(self, client: openai.AsyncOpenAI) -> None:
        answer = await client.chat.completions.create(
            model="echo", messages=MESSAGES, extra_body={"echo": {"tokens": 3}}
        )
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 3

    async def _typed(self, channel: grpc.aio.Channel) -> None:
        spec = generation.GenerationSpec(
            model="echo",
            messages=[{"role": "ROLE_USER", "parts": [{"text": "word"}]}],
            provider_options_json=json.dumps({"echo": {"tokens": TOKENS}}),
        )
        finished = False
        stub = inference_grpc.InferenceServiceStub(channel)
        async for response in stub.StreamGenerate(inference.StreamGenerateRequest(spec=spec)):
            finished = response.event.WhichOneof("event") == "finished"
        assert finished, "a stream has ended in silence"


async def test_every_process_restarted_one_after_the_other_under_load_loses_no_call(
    rolled: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(rolled.home)  # where the command would be
    load = Load(rolled)
    under_load = asyncio.create_task(load.run())
    await until(lambda: min(load.ended[kind] for kind in ("stream", "call", "typed")) >= 2, seconds=30)
    for name in ORDER:
        before, begun = rolled.pid(name), time.monotonic()
        await asyncio.to_thread(restart, Home(rolled.home), name, 120.0)
        assert rolled.pid(name) != before
        seen, lost = load.ended.total(), len(load.failed)
        await until(lambda: load.ended.total() > seen + 10, seconds=60)  # noqa: B023  # awaited here
        print(f"{name}: {time.monotonic() - begun:.1f} s, {lost} lost so far")
    load.end()
    await under_load
    print(f"{load.ended.total()} calls: {dict(load.ended)}; lost {len(load.failed)}")
    assert not load.failed


async def test_a_drained_worker_route_and_gateway_get_nothing_new_until_they_are_undrained(rolled: Mesh) -> None:
    async def hybrid(*words: str) -> str:
        done = await asyncio.to_thread(rolled.hybrid, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tried(worker: str) -> int:
        return (rolled.home / "logs" / f"{worker}.log").read_text(encoding="utf-8").count("attempt.finished")

    def taken(gateway: str) -> float:
        return sum(total(rolled, gateway, f"hybrid_gateway_requests_{what}") for what in ("total", "running"))

    async def left_alone(gateway: str) -> bool:
        """Whether it takes none of some twenty calls, and has none."""
        before, ended = taken(gateway), load.ended.total()
        await until(lambda: load.ended.total() > ended + 20, seconds=60)
        return taken(gateway) == before and total(rolled, gateway, "hybrid_gateway_requests_running") == 0

    load = Load(rolled)
    under_load = asyncio.create_task(load.run())
    await until(lambda: load.ended.total() >= 6, seconds=30)
    out = await hybrid("drain", "worker", "echo-0")
    assert out == "worker echo-0 finishes what it has begun, and is given nothing new\n"
    await until(lambda: total(rolled, "echo-0", "hybrid_worker_attempts_running") == 0, seconds=30)
    before, seen = tried("echo-0"), load.ended.total()
    await hybrid("restart", "router")  # it is told again before it places
    await until(lambda: load.ended.total() > seen + 20, seconds=60)
    assert tried("echo-0") == before
    await hybrid("drain", "gateway", "gateway-2")
    idle = "hybrid_gateway_requests_running"
    async with asyncio.timeout(60):  # a moment without a call is not yet the end of them
        while not await left_alone("gateway-2"):
            pass
    await hybrid("drain", "route", "other/echo")
    async with rolled.async_client() as client:
        with pytest.raises(openai.APIStatusError) as refused:
            await client.chat.completions.create(model="other", messages=MESSAGES)
    assert refused.value.status_code == 503
    assert "taken out of service by operators" in refused.value.message
    assert rolled.status()["drained"] == ["gateway gateway-2", "worker echo-0", "route other/echo"]
    assert total(rolled, "gateway-2", idle) == 0
    for words in (("gateway-2",), ("worker", "echo-0"), ("route", "other/echo")):
        assert (await hybrid("undrain", *words)).endswith(" is in service again\n")
    await until(lambda: tried("echo-0") > before and total(rolled, "gateway-2", idle) > 0, seconds=60)
    load.end()
    await under_load
    assert not load.failed


async def test_a_hundred_reloads_of_which_twenty_are_invalid_lose_no_call_and_no_memory(rolled: Mesh) -> None:
    """Valid ones change models, limits and flags; what is not valid is never used by anybody."""
    names = ("router", "admin", "gateway", "gateway-2")
    processes = {name: psutil.Process(rolled.pid(name)) for name in names}
    load = Load(rolled)
    under_load = asyncio.create_task(load.run())

    def valid(number: int) -> str:
        flags = f"flags: {{hedging: {{share: 0.{number:03}}}}}\n"
        return ROLLED.replace("- name: other", f"- name: other-{number}") + flags

    def invalid(number: int) -> str:
        return (
            ROLLED.replace("provider: echo", "provider: nobody"),
            ROLLED.replace("token_ms", "tokn_ms"),
            ROLLED + "flags: {hedging: perhaps}\n",
            "providers: [",
            ROLLED.replace("drain_seconds: 20", "drain_seconds: 20, spool: elsewhere"),
        )[number % 5]

    def versions() -> dict[str, str]:
        return {name: version(rolled, name) for name in names}

    def reloads(result: str) -> list[float]:
        wanted = f'hybrid_config_reloads_total{{result="{result}"}} '
        texts = (exposition(rolled, name) for name in names)  # not parsed: it is asked often
        return [float(text.partition(wanted)[2].partition("\n")[0]) for text in texts]

    def taken(result: str, before: list[float]) -> bool:
        return all(now > then for now, then in zip(reloads(result), before, strict=True))

    async def take(text: str, result: str) -> None:
        before = await asyncio.to_thread(reloads, result)
        rolled.config.write_text(text, encoding="utf-8")
        for process in processes.values():
            process.send_signal(signal.SIGHUP)
        await until(lambda: asyncio.to_thread(taken, result, before), seconds=60)

    used, memory = set(), {}
    refused = reloads("refused")
    for number in range(100):
        if number % 5 == 4:
            before = await asyncio.to_thread(versions)
            await take(invalid(number // 5), "refused")
            assert await asyncio.to_thread(versions) == before
        else:
            await take(valid(number), "applied")
            [now] = set((await asyncio.to_thread(versions)).values())
            assert now == (await asyncio.to_thread(load_config, rolled.config)).version
            used.add(now)
        if number == 49:
            memory = {name: process.memory_info().rss for name, process in processes.items()}
    grown = {name: process.memory_info().rss - memory[name] for name, process in processes.items()}
    load.end()
    await under_load
    assert not load.failed
    assert len(used) == 80
    assert [now - then for now, then in zip(reloads("refused"), refused, strict=True)] >= [20.0] * 4
    print(f"{load.ended.total()} calls, none lost; grown by bytes in 50 reloads: {grown}")
    # Allocators keep some; what every reload left behind would be megabytes.
    assert max(grown.values()) < 8 << 20
    rolled.config.write_text(ROLLED, encoding="utf-8")
