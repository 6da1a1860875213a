"""What to paste into a terminal once the mesh answers."""

import json
import pathlib
import shlex
import shutil
import sys

_PROMPT = "What is the capital of France?"
# Where commands that call the mesh find a key.
VARIABLE = "HYBRID_API_KEY"
_METHOD = "hybridinference.gateway.v1.InferenceService/StreamGenerate"


def examples(
    host: str,
    port: int,
    model: str,
    *,
    grpcurl: str,
    python: str = sys.executable,
    certificate: str | None = None,
    keyed: pathlib.Path | None = None,
) -> str:
    """The address, and one call each with curl, with OpenAI's SDK, with grpcurl.

    Args:
        host: where the edge is called.
        port: likewise.
        model: whom to ask.
        grpcurl: how to start it.
        python: an interpreter that has the SDK.
        certificate: the edge's, which callers are told to trust; None without TLS.
        keyed: the mesh's home where callers need a key; None where they do not.
    """
    base = f"{'https' if certificate else 'http'}://{host}:{port}"
    trust = shlex.quote(certificate or "")
    body = {"model": model, "messages": [{"role": "user", "content": _PROMPT}], "temperature": 0}
    spec = {
        "model": model,
        "messages": [{"role": "ROLE_USER", "parts": [{"text": _PROMPT}]}],
        "sampling": {"temperature": 0},
    }
    key = f'os.environ["{VARIABLE}"]' if keyed else '"none"'
    code = (
        f"{'import os; ' if keyed else ''}from openai import OpenAI; "
        f'client = OpenAI(base_url="{base}/v1", api_key={key}); '
        f"answer = client.chat.completions.create(model={json.dumps(model)}, temperature=0, "
        f'messages=[{{"role": "user", "content": "{_PROMPT}"}}]); '
        "print(answer.choices[0].message.content)"
    )
    said, asked = shlex.quote(json.dumps(body)), shlex.quote(json.dumps({"spec": spec}))
    curl = f"curl -s{f' --cacert {trust}' if certificate else ''} {base}/v1/chat/completions"
    # In double quotes: the shell fills it in.
    header = f' -H "authorization: Bearer ${VARIABLE}"' if keyed else ""
    curl += f"{header} -H 'content-type: application/json' -d {said}"
    grpc = f"{shlex.quote(grpcurl)} {f'-cacert {trust}' if certificate else '-plaintext'}"
    grpc += f"{header} -d {asked} {host}:{port} {_METHOD}"
    # The SDK's HTTP client trusts whom OpenSSL is told to trust.
    run = f"{f'SSL_CERT_FILE={trust} ' if certificate else ''}{shlex.quote(python)} -c {shlex.quote(code)}"
    make = f"  export {VARIABLE}=$(hybrid keys create --owner me --home {shlex.quote(str(keyed))})\n\n" if keyed else ""
    return f"The mesh answers at {base}\n\n{make}  {curl}\n\n  {run}\n\n  {grpc}\n"


def find_grpcurl() -> str:
    """Just its name where the shell finds it, else the one beside this interpreter."""
    return "grpcurl" if shutil.which("grpcurl") else str(pathlib.Path(sys.executable).with_name("grpcurl"))
