"""What becomes of answers whose worker dies, of slow beginnings, and of what is sent to a shadow besides."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import openai
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.gateway.v1 import inference_service_pb2_grpc as gateway_grpc
from hybridinference.inference.v1 import conversation_pb2 as conversation

from services.chassis.channel import open_channel
from tests.mesh.driver import Mesh, mesh, until

pytestmark = [pytest.mark.slow, pytest.mark.edge]

CONFIG = """
gateway: {drain_seconds: 2, show_worker: true}
router: {hedge: {budget_ratio: 1.0, least_seconds: 0.2}}
flags: {hedging: {models: [hedged]}}
providers:
  echo: {kind: echo, workers: 2, token_ms: 10, loading_ms: 1000, drain_seconds: 2}
  slow: {kind: echo, workers: 1, first_token_ms: 20000, drain_seconds: 2}
  behind: {kind: echo, workers: 1, first_token_ms: 8000, drain_seconds: 2}
  quick: {kind: echo, workers: 1, drain_seconds: 2}
models:
  - name: echo
    routes: [{provider: echo}]
  - name: hedged
    routes: [{provider: slow}, {provider: quick, role: fallback}]
  - name: shaded
    routes: [{provider: quick}, {provider: behind, role: shadow, share: 1.0}]
"""
WORDS = " ".join(f"word{number}" for number in range(7))
MESSAGES = [{"role": "user", "content": WORDS}]
TOKENS = 300


@pytest.fixture(scope="module")
def running() -> Iterator[Mesh]:
    """A mesh with workers to kill, a slow one, and one that nobody sees."""
    with mesh(CONFIG) as made:
        yield made


@pytest.fixture
async def client(running: Mesh) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official SDK at that mesh."""
    async with running.async_client() as client:
        yield client


def expected(tokens: int = TOKENS) -> str:
    """The whole answer."""
    words = [WORDS.split()[0], *(f" {word}" for word in WORDS.split()[1:])]
    return "".join(words[number % len(words)] for number in range(tokens))


class Answer:
    """An answer as it comes."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.text = ""
        self.id = ""
        self.ends: list[str] = []
        self.output_tokens = 0


async def rows_of(running: Mesh, answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """The ledger's rows of some answers, once all are there."""
    wanted = {answer.id for answer in answers}
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = [row for row in running.requests() if row["generation_id"] in wanted]
        return len(found) == len(wanted)

    await until(lambda: asyncio.to_thread(there), seconds=30)
    return found


async def over_rest(client: openai.AsyncOpenAI, answer: Answer, tokens: int = TOKENS) -> None:
    stream = await client.chat.completions.create(
        model="echo",
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"echo": {"tokens": tokens}},
    )
    async for chunk in stream:
        answer.id = chunk.id.removeprefix("chatcmpl-")
        for choice in chunk.choices:
            answer.text += choice.delta.content or ""
            if choice.finish_reason:
                answer.ends.append(choice.finish_reason)
        if chunk.usage is not None:
            answer.output_tokens = chunk.usage.completion_tokens
        if len(answer.text) > 100:
            answer.begun.set()


async def over_grpc(running: Mesh, answer: Answer) -> None:
    request = gateway.StreamGenerateRequest()
    request.spec.model = "echo"
    request.spec.messages.add(role=conversation.ROLE_USER).parts.add(text=WORDS)
    request.spec.provider_options_json = json.dumps({"echo": {"tokens": TOKENS}})
    async with open_channel(f"127.0.0.1:{running.port}") as channel:
        async for response in gateway_grpc.InferenceServiceStub(channel).StreamGenerate(request, timeout=30):
            kind = response.event.WhichOneof("event")
            answer.id = answer.id or response.generation_id
            answer.text += response.event.delta.text
            if kind != "delta":
                answer.ends.append(kind)
            answer.output_tokens = response.event.finished.usage.output_tokens
            if len(answer.text) > 100:
                answer.begun.set()


async def test_a_killed_worker_s_answers_go_on_at_the_other_one(running: Mesh, client: openai.AsyncOpenAI) -> None:
    rest, grpc = [Answer() for _ in range(6)], [Answer() for _ in range(6)]
    tasks = [asyncio.create_task(over_rest(client, answer)) for answer in rest]
    tasks += [asyncio.create_task(over_grpc(running, answer)) for answer in grpc]
    await asyncio.gather(*(answer.begun.wait() for answer in (*rest, *grpc)))
    running.kill("echo-0")
    await asyncio.gather(*tasks)
    assert {answer.text for answer in (*rest, *grpc)} == {expected()}
    assert {answer.output_tokens for answer in (*rest, *grpc)} == {TOKENS}
    assert {tuple(answer.ends) for answer in rest} == {("stop",)}
    assert {tuple(answer.ends) for answer in grpc} == {("started", "finished")}
    rows = await rows_of(running, (*rest, *grpc))
    assert {(row["outcome"], row["worker"], row["output_tokens"]) for row in rows} == {("success", "echo-1", TOKENS)}
    broken = [row["attempt_list"] for row in rows if len(row["attempt_list"]) == 2]
    assert broken, "no answer was at the worker that was killed"
    for first, second in broken:
        assert (first["worker"], first["outcome"]) == ("echo-0", "error")
        assert (first["error_reason"], first["kind"], second["kind"]) == ("STREAM_INTERRUPTED", "", "continuation")
        assert (second["worker"], second["outcome"]) == ("echo-1", "success")
        assert first["output_tokens"] + second["output_tokens"] == TOKENS
    print(f"{len(broken)} of {len(rows)} answers went on elsewhere")


async def test_what_a_worker_that_stops_does_not_finish_in_time_goes_on(
    running: Mesh, client: openai.AsyncOpenAI
) -> None:
    answers = [Answer() for _ in range(6)]
    tokens = 600  # six seconds, of which the worker gives two
    tasks = [asyncio.create_task(over_rest(client, answer, tokens)) for answer in answers]
    await asyncio.gather(*(answer.begun.wait() for answer in answers))
    running.terminate("echo-1")
    await asyncio.gather(*tasks)
    assert {answer.text for answer in answers} == {expected(tokens)}
    rows = await rows_of(running, answers)
    assert {row["outcome"] for row in rows} == {"success"}
    assert any(len(row["attempt_list"]) == 2 for row in rows), "no answer was at the worker that stopped"


async def test_a_slow_beginning_is_hedged(running: Mesh, client: openai.AsyncOpenAI) -> None:
    async def ask(**echo: int) -> tuple[float, str]:
        begun = time.monotonic()
        answer = await client.chat.completions.create(model="hedged", messages=MESSAGES, extra_body={"echo": echo})
        assert answer.choices[0].message.content == WORDS
        return time.monotonic() - begun, answer.id.removeprefix("chatcmpl-")

    await ask(first_token_ms=1)  # from now on it is known how soon the worker usually begins
    took, generation_id = await ask()
    assert took < 15, "the slow worker was waited for"
    row = await asyncio.to_thread(running.row_of, generation_id)
    attempts = [(attempt["worker"], attempt["kind"], attempt["outcome"]) for attempt in row["attempt_list"]]
    assert attempts == [("slow-0", "", "cancelled"), ("quick-0", "hedge", "success")]
    assert row["worker"] == "quick-0"
    await until(lambda: sum(worker["running"] for worker in running.status()["workers"]) == 0, seconds=3)


async def test_a_shadow_is_recorded_and_not_waited_for(running: Mesh, client: openai.AsyncOpenAI) -> None:
    begun = time.monotonic()
    answer = await client.chat.completions.create(model="shaded", messages=MESSAGES, extra_body={"echo": {"tokens": 3}})
    assert time.monotonic() - begun < 6, "the shadow was waited for"
    generation_id = answer.id.removeprefix("chatcmpl-")
    row = await asyncio.to_thread(running.row_of, generation_id)
    assert (row["worker"], row["output_tokens"], len(row["attempt_list"])) == ("quick-0", 3, 1)

    def both() -> bool:
        return len(running.row_of(generation_id)["attempt_list"]) == 2

    await until(lambda: asyncio.to_thread(both), seconds=30)
    row = await asyncio.to_thread(running.row_of, generation_id)
    attempts = [(attempt["worker"], attempt["kind"]) for attempt in row["attempt_list"]]
    assert attempts == [("quick-0", ""), ("behind-0", "shadow")]
    assert (row["worker"], row["output_tokens"], row["outcome"]) == ("quick-0", 3, "success")
