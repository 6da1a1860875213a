"""What to paste into a terminal once the mesh answers."""

import json
import pathlib
import shlex
import shutil
import sys

_PROMPT = "What is the capital of France?"
_METHOD = "hybridinference.gateway.v1.InferenceService/StreamGenerate"


def examples(host: str, port: int, model: str, *, grpcurl: str, python: str = sys.executable) -> str:
    """The address, and one call each with curl, with OpenAI's SDK, with grpcurl."""
    base = f"http://{host}:{port}"
    body = {"model": model, "messages": [{"role": "user", "content": _PROMPT}], "temperature": 0}
    spec = {
        "model": model,
        "messages": [{"role": "ROLE_USER", "parts": [{"text": _PROMPT}]}],
        "sampling": {"temperature": 0},
    }
    code = (
        "from openai import OpenAI; "
        f'client = OpenAI(base_url="{base}/v1", api_key="none"); '
        f"answer = client.chat.completions.create(model={json.dumps(model)}, temperature=0, "
        f'messages=[{{"role": "user", "content": "{_PROMPT}"}}]); '
        "print(answer.choices[0].message.content)"
    )
    curl = f"curl -s {base}/v1/chat/completions -H 'content-type: application/json' -d {shlex.quote(json.dumps(body))}"
    grpc = f"{shlex.quote(grpcurl)} -plaintext -d {shlex.quote(json.dumps({'spec': spec}))} {host}:{port} {_METHOD}"
    return f"The mesh answers at {base}\n\n  {curl}\n\n  {shlex.quote(python)} -c {shlex.quote(code)}\n\n  {grpc}\n"


def find_grpcurl() -> str:
    """Just its name where the shell finds it, else the one beside this interpreter."""
    return "grpcurl" if shutil.which("grpcurl") else str(pathlib.Path(sys.executable).with_name("grpcurl"))
