"""LiteLLM's proxy: one Uvicorn worker, as its documents say, with errors as its only log and without a database."""

import contextlib
import json
import pathlib
import tempfile
import urllib.request
from collections.abc import Iterator

from benchmarks.peers.peer import program
from benchmarks.peers.process import direct, serving
from benchmarks.system import System, free_port

_FIRST_SECONDS = 300.0
_ENVIRONMENT = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # instead of one fetched from GitHub at each start
    # It ends streams that say the same again and again, as the fake server's do.
    "REPEATED_STREAMING_CHUNK_LIMIT": "1000000000",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # as no peer asks for a key here
}


def config(upstream_port: int, model: str) -> str:
    """Its configuration, in YAML's part that is JSON: one model with one deployment, no callback, no cache."""
    deployment = {"model": f"openai/{model}", "api_base": f"http://127.0.0.1:{upstream_port}/v1", "api_key": "none"}
    return json.dumps(
        {
            "model_list": [{"model_name": model, "litellm_params": deployment}],
            "litellm_settings": {"set_verbose": False, "json_logs": False, "cache": False, "num_retries": 0},
        }
    )


def command(port: int, path: str) -> list[str]:
    """How it is started."""
    arguments = ["--config", path, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return [program("litellm", "litellm"), *arguments]


@contextlib.contextmanager
def litellm(upstream_port: int, *, model: str = "bench") -> Iterator[System]:
    """LiteLLM's proxy."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="litellm-") as folder:
        path = pathlib.Path(folder) / "config.yaml"
        path.write_text(config(upstream_port, model), encoding="utf-8")
        health = f"http://127.0.0.1:{port}/health/liveliness"
        with serving(command(port, str(path)), health=health, env=_ENVIRONMENT) as pid:
            # It is well before it is loaded: much of it comes with the first request, which is nobody's to wait for.
            for stream in (False, True):
                _ask(port, model, stream=stream)
            yield System("litellm", port, {"proxy": [pid]}, model=model)


def _ask(port: int, model: str, *, stream: bool) -> None:
    asked = {"model": model, "messages": [{"role": "user", "content": "seven"}], "max_tokens": 1, "stream": stream}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(asked).encode(),
        {"content-type": "application/json"},
    )
    with direct().open(request, timeout=_FIRST_SECONDS) as answer:
        answer.read()
