"""Two replicas of the real model, one of which is killed in the middle of an answer."""

import asyncio
from collections.abc import Iterator

import openai
import pytest

from services.cli.setup.models import smollm2_directory
from tests.mesh.driver import Mesh, mesh

pytestmark = [pytest.mark.slow, pytest.mark.edge, pytest.mark.engine, pytest.mark.timeout(240)]

# In float32 two computations of the same logits differ by too little to change which token is the likeliest.
CONFIG = """
gateway: {{drain_seconds: 2, show_worker: true}}
providers:
  chat:
    kind: vllm
    model: {model}
    served_model: smollm2
    workers: 2
    engine_args: {{dtype: float32}}
    drain_seconds: 2
models:
  - name: smollm2
    routes: [{{provider: chat}}]
"""
STORY = [{"role": "user", "content": "Tell me a very long story about a ship."}]
TOKENS = 80


@pytest.fixture(scope="module")
def pair() -> Iterator[Mesh]:
    """A mesh of two engines."""
    with mesh(CONFIG.format(model=smollm2_directory()), timeout=180) as running:
        yield running


async def test_an_answer_of_a_killed_engine_is_the_one_that_was_never_interrupted(pair: Mesh) -> None:
    async with pair.async_client() as client:

        async def told(kill_after: int = 0) -> tuple[str, str, openai.types.CompletionUsage | None]:
            text, pieces, usage, reason = "", 0, None, None
            stream = await client.chat.completions.create(
                model="smollm2",
                messages=STORY,
                temperature=0,
                max_tokens=TOKENS,
                stop=["Neptune's trident"],
                stream=True,
                stream_options={"include_usage": True},
            )
            async for chunk in stream:
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    pieces += 1
                    reason = choice.finish_reason or reason
                if 0 < kill_after <= pieces:
                    pair.kill(stream.response.headers["x-hybrid-worker"])
                    kill_after = 0
            assert reason == "length"
            return text, chunk.id.removeprefix("chatcmpl-"), usage

        whole, _, usage = await told()
        text, generation_id, again = await told(kill_after=25)
    assert text == whole
    assert usage is not None
    assert (usage.completion_tokens, again) == (TOKENS, usage)
    row = await asyncio.to_thread(pair.row_of, generation_id)
    first, second = row["attempt_list"]
    assert first["worker"] != second["worker"]
    assert (first["outcome"], first["error_reason"]) == ("error", "STREAM_INTERRUPTED")
    assert (second["outcome"], first["kind"], second["kind"]) == ("success", "", "continuation")
    assert first["output_tokens"] + second["output_tokens"] == TOKENS
    assert 25 <= first["output_tokens"] < TOKENS
    assert (row["outcome"], row["worker"], row["output_tokens"]) == ("success", second["worker"], TOKENS)
    assert row["input_tokens"] == usage.prompt_tokens
