"""The served OpenAPI document before the mesh, judged by schemathesis."""

import copy
import json
import pathlib
import subprocess
import sys
from typing import Any

import httpx2
import pytest

from services.gateway.openapi.examples import MODEL
from tests.clients.documents import checks_off_by_the_documents
from tests.mesh.driver import Mesh

pytestmark = [pytest.mark.clients, pytest.mark.slow]

# The models that a request may reach, so that what is right is answered and not refused as unknown.
MODELS = {
    "ChatCompletionRequest": ["echo", "chat"],
    "CompletionRequest": ["echo"],
    "ResponseRequest": ["echo", "chat"],
    "EmbeddingRequest": ["echo", "vectors"],
    "hybridinference.inference.v1.GenerationSpec": ["echo", "chat"],
    "hybridinference.inference.v1.EmbeddingSpec": ["echo", "vectors"],
}
# What schemathesis takes for mistakes, and is none here: docs/clients.md says why.
NOT_OURS = "unsupported_method,allow_header_conformance,positive_data_acceptance"
LENIENT = f"{NOT_OURS},negative_data_rejection"
SECONDS = 100


def served(mesh: Mesh) -> dict[str, Any]:
    text = httpx2.get(f"http://127.0.0.1:{mesh.port}/openapi.json").text
    document: dict[str, Any] = json.loads(text.replace(json.dumps(MODEL), '"echo"'))
    return document


def _copy(document: dict[str, Any], way: dict[str, str]) -> dict[str, Any]:
    schema: dict[str, Any] = document["components"]["schemas"][way["$ref"].rpartition("/")[2]]
    return copy.deepcopy(schema)


def bound(document: dict[str, Any]) -> dict[str, Any]:
    """The document, less what makes a server error of a caller's own wish: a deadline of a moment is a 504.

    What is only explained may have any model: that there is none is then part of the answer.
    """
    explained = document["components"]["schemas"]["ExplanationRequest"]
    explained["anyOf"] = [_copy(document, way) for way in explained["anyOf"]]
    for name, models in MODELS.items():
        document["components"]["schemas"][name]["properties"]["model"]["enum"] = models
    for path in document["paths"].values():
        for operation in path.values():
            operation["parameters"] = [each for each in operation["parameters"] if each["in"] != "header"]
    return document


@pytest.mark.parametrize(("face", "excluded"), [("/v1/", NOT_OURS), ("/api/", LENIENT)], ids=["openai", "typed"])
def test_no_request_brings_a_server_error_or_an_answer_that_the_document_does_not_have(
    clients_mesh: Mesh, tmp_path: pathlib.Path, face: str, excluded: str
) -> None:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(bound(served(clients_mesh))))
    program = str(pathlib.Path(sys.executable).with_name("schemathesis"))
    # One seed, and no time that is to be spent: each run is the same.
    done = subprocess.run(
        [
            *(program, "--no-color", "run", str(file), "--url", f"http://127.0.0.1:{clients_mesh.port}"),
            *("--include-path-regex", f"^{face}", "--phases", "examples,coverage,fuzzing", "--max-examples", "6"),
            *("--seed", "1", "--continue-on-failure", "--exclude-checks", excluded, "--warnings", "off"),
            *("--generation-database", "none", "--no-shrink", "--max-failures", "5"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "No issues found" in done.stdout, done.stdout


@pytest.mark.parametrize(("face", "excluded"), [("openai", NOT_OURS), ("typed", LENIENT)])
def test_what_is_left_out_is_what_the_documents_list(face: str, excluded: str) -> None:
    assert checks_off_by_the_documents(face) == set(excluded.split(","))


def test_every_example_of_the_document_is_answered(clients_mesh: Mesh) -> None:
    asked = 0
    for path, operations in served(clients_mesh)["paths"].items():
        for example in operations.get("post", {}).get("requestBody", {}).get("content", {}).values():
            for name, request in example["examples"].items():
                reply = httpx2.post(f"http://127.0.0.1:{clients_mesh.port}{path}", json=request["value"])
                assert reply.status_code == 200, (path, name, reply.text)
                asked += 1
    assert asked >= 10
