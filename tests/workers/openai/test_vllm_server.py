"""A counterpart that is not ours: vLLM's own HTTP server with a real model."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from hybridinference.inference.v1 import conversation_pb2 as conversation
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.cli.setup.environment import engine_environment
from services.cli.setup.models import smollm2_directory
from services.config.provider import OpenAIProvider as Config
from services.workers.openai.provider import OpenAIServer, open_provider
from services.workers.provider import AttemptContext

pytestmark = [pytest.mark.engine, pytest.mark.slow]

_MODULE = "vllm.entrypoints.launchers.api_server.entry"
_SIZES = "--max-model-len 2048 --max-num-seqs 4 --enforce-eager --dtype float32 --kv-cache-memory-bytes 134217728"


def up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/models", timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextlib.contextmanager
def vllm_server() -> Iterator[str]:
    """The base URL of a server that is ready; nothing of it is left afterwards."""
    engine, model = engine_environment(), smollm2_directory()
    assert engine.ready, "no engine environment: run python3.11 -m services.cli.setup engine"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(engine.python), "-m", _MODULE, "--model", str(model), "--served-model-name", "smollm2"]
    command += [*_SIZES.split(), "--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryDirectory(prefix="vllm-") as home, open(pathlib.Path(home, "log"), "wb") as log:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
        process = subprocess.Popen(
            command, cwd=home, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            url = f"http://127.0.0.1:{port}/v1"
            begun = time.monotonic()
            while not up(url):
                assert process.poll() is None, "the server has ended"
                assert time.monotonic() - begun < 90, "the server is not ready"
                time.sleep(0.2)
            yield url
        finally:
            print(pathlib.Path(home, "log").read_text(errors="replace")[-4000:])
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def spec(text: str, **fields: object) -> generation.GenerationSpec:
    asked = generation.GenerationSpec(model="smollm2", **fields)  # type: ignore[arg-type]
    asked.sampling.temperature = 0
    asked.messages.add(role=conversation.ROLE_USER).parts.add(text=text)
    return asked


async def run(provider: OpenAIServer, asked: generation.GenerationSpec) -> list[generation.GenerationEvent]:
    async with contextlib.aclosing(provider.generate(asked, AttemptContext())) as events:
        return [event async for event in events]


async def test_the_real_server_answers_streams_counts_and_fails_as_it_should() -> None:
    with vllm_server() as url:
        config = Config.model_validate({"kind": "openai", "base_url": url, "api_keys": ["none"], "models": ["smollm2"]})
        async with open_provider(config) as provider:
            asked = spec("What is the capital of France?", logprobs=generation.Logprobs(top=2))
            events = await run(provider, asked)
            words = [event.delta.text for event in events if event.HasField("delta")]
            assert "".join(words) == "The capital of France is Paris."
            assert len(words) >= 7
            assert sum(len(event.delta.logprobs) for event in events) >= 7
            finished = events[-1].finished
            assert finished.reasons == [generation.FINISH_REASON_STOP]
            assert (finished.usage.output_tokens, finished.usage.estimated) == (8, False)

            cut = await run(provider, spec("Tell me a story.", max_output_tokens=4, choices=1))
            assert cut[-1].finished.reasons == [generation.FINISH_REASON_LENGTH]
            with pytest.raises(Failure) as caught:
                await run(provider, spec("word " * 3000))
            assert caught.value.reason_name == "CONTEXT_TOO_LONG"
            for prompt in ({"text": "The capital of France is"}, {"token_ids": {"ids": [504, 3575, 282, 4649, 314]}}):
                asked = generation.GenerationSpec(
                    model="smollm2", prompt=prompt, max_output_tokens=8, logprobs=generation.Logprobs(top=2)
                )
                asked.sampling.temperature = 0
                events = await run(provider, asked)
                tokens = [token for event in events for token in event.delta.logprobs]
                assert "Paris" in "".join(event.delta.text for event in events)
                assert b"".join(token.token_bytes for token in tokens).decode().startswith(" Paris")
                assert all(token.logprob in (top.logprob for top in token.top) for token in tokens)
                finished = events[-1].finished
                assert finished.reasons == [generation.FINISH_REASON_LENGTH]
                assert finished.usage == generation.Usage(input_tokens=5, output_tokens=8)

            asked = spec("hi")
            asked.sampling.temperature = 99
            with pytest.raises(Failure) as caught:
                await run(provider, asked)
            assert caught.value.reason_name == "PROVIDER_REJECTED"
