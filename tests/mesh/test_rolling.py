"""Every process restarted, one after the other, under load: no call that is shorter than the grace is lost."""

import asyncio
import collections
import json
import time
from collections.abc import Iterator

import grpc
import openai
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.gateway.v1 import inference_service_pb2_grpc as inference_grpc
from hybridinference.inference.v1 import generation_pb2 as generation

from services.cli.home import Home
from services.cli.restart import restart
from tests.mesh.driver import Mesh, mesh, until

pytestmark = [pytest.mark.slow, pytest.mark.edge]

ROLLED = """
access: {keyless: true}
gateway: {instances: 2, drain_seconds: 20}
providers:
  echo: {kind: echo, workers: 2, token_ms: 10, drain_seconds: 60}
models:
  - name: echo
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
