"""The mesh from a shell: curl, grpcurl, buf curl."""

import base64
import json
import pathlib
import re
from collections.abc import Iterable
from typing import Any

import pytest
from google.rpc import error_details_pb2

from tests.clients.examples.conftest import Ledger, Run
from tests.mesh.driver import ROOT, Mesh

pytestmark = [pytest.mark.clients, pytest.mark.slow]

QUESTION = "What is the capital of France?"
WORDS = "red orange yellow green blue"
SERVICE = "hybridinference.gateway.v1.InferenceService"
INFO = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "hybridinference.dev"}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "1.500s"}
NO_MODEL = {**INFO, "reason": "MODEL_NOT_FOUND", "metadata": {"model": "no-such-model"}}
UNAVAILABLE = {**INFO, "reason": "ACCOUNTING_UNAVAILABLE"}


def objects(text: str) -> list[Any]:
    """The JSON objects in a text, one after the other."""
    found, at, decoder = [], text.find("{"), json.JSONDecoder()
    while at >= 0:
        value, end = decoder.raw_decode(text, at)
        found.append(value)
        at = text.find("{", end)
    return found


def joined(pieces: Iterable[str]) -> str:
    """The whole of what came in at least two pieces; neighbours may have been joined on their way."""
    several = [piece for piece in pieces if piece]
    assert len(several) > 1
    return "".join(several)


def events(text: str) -> list[Any]:
    return [json.loads(data) for data in re.findall(r"^data: (\{.*)$", text, re.MULTILINE)]


def test_curl_asks_both_faces(run: Run, demo: Mesh, ledger: Ledger) -> None:
    said = run("examples/shell/curl.sh", f"http://127.0.0.1:{demo.port}")
    part = said.sections()
    assert [model["id"] for model in json.loads(part["the models"])["data"]] == ["echo"]
    assert json.loads(part["a whole answer"])["choices"][0]["message"]["content"] == QUESTION
    deltas = [event["choices"][0]["delta"] for event in events(part["a stream"])]
    assert joined(delta.get("content", "") for delta in deltas) == WORDS
    assert part["a stream"].endswith("data: [DONE]")
    assert said.pieces('"red', 'blue"') >= 2
    assert [len(one["embedding"]) for one in json.loads(part["vectors"])["data"]] == [8, 8]
    late, status = part["a deadline, which the mesh is told"].splitlines()
    assert (json.loads(late)["error"]["type"], status) == ("timeout_error", "status 504")
    left = part["a stream that is left after three events; that ends the work behind the mesh, too"]
    assert len(events(left)) == 3
    failures = part["failures: a model that is not there, and (an echo worker told so) one that passes"]
    assert [error["error"]["code"] for error in objects(failures)] == ["model_not_found", "service_unavailable"]
    assert re.findall("status .*", failures) == ["status 404", "status 503, retry after 2 s"]
    typed = part["the typed API: whole, streamed, and its failures"]
    whole, *streamed, unknown, busy = objects(typed)
    assert whole["choices"][0]["content"]["text"] == QUESTION
    assert "".join(event["event"].get("delta", {}).get("text", "") for event in streamed) == "red orange yellow"
    assert unknown["details"] == [NO_MODEL]
    assert busy["details"] == [{**UNAVAILABLE, "metadata": {}}, RETRY]
    assert ledger.outcomes(11) == [
        ("openai", "success", False),
        ("openai", "success", True),
        ("openai", "success", False),
        ("openai", "deadline", False),
        ("openai", "cancelled", True),
        ("openai", "error", False),
        ("openai", "error", False),
        ("inference", "success", False),
        ("inference", "success", True),
        ("inference", "error", False),
        ("inference", "error", False),
    ]


def test_grpcurl_learns_the_contracts_and_asks(run: Run, demo: Mesh, ledger: Ledger) -> None:
    said = run("examples/shell/grpcurl.sh", f"127.0.0.1:{demo.port}")
    part = said.sections()
    assert {SERVICE, "grpc.health.v1.Health"} < set(part["what there is"].splitlines())
    assert f"{SERVICE} is a service:" in part["what there is"]
    assert "optional double temperature = 1;" in part["what there is"]
    assert json.loads(part["health"]) == {"status": "SERVING"}
    assert [model["name"] for model in json.loads(part["the models"])["models"]] == ["echo"]
    assert json.loads(part["a whole answer"])["choices"][0]["content"]["text"] == QUESTION
    streamed = [event["event"] for event in objects(part["a stream"])]
    assert joined(event.get("delta", {}).get("text", "") for event in streamed) == WORDS
    assert said.pieces('"red', 'blue"') >= 2
    assert "Code: DeadlineExceeded" in part["a deadline"]
    assert '"text"' in part["a stream that is left after its first lines; that ends the work behind the mesh, too"]
    failures = part["failures: a model that is not there, and (an echo worker told so) one that passes"]
    assert objects(failures) == [NO_MODEL, UNAVAILABLE, RETRY]
    assert ("inference", "cancelled", True) in ledger.outcomes(6)


def details(failure: dict[str, Any]) -> list[Any]:
    """What is in a failure as buf prints it: its details are base64."""
    known = {"google.rpc.ErrorInfo": error_details_pb2.ErrorInfo, "google.rpc.RetryInfo": error_details_pb2.RetryInfo}
    return [known[one["type"]].FromString(base64.b64decode(one["value"] + "==")) for one in failure["details"]]


def test_buf_curl_asks_over_grpc_and_over_grpc_web(run: Run, demo: Mesh, ledger: Ledger) -> None:
    said = run("examples/shell/buf_curl.sh", f"http://127.0.0.1:{demo.port}")
    part = said.sections()
    assert {SERVICE, f"{SERVICE}/StreamGenerate"} < set(part["what there is"].splitlines())
    for protocol in ("grpc", "grpcweb"):
        [whole] = objects(part[f"{protocol}: a whole answer"])
        assert whole["choices"][0]["content"]["text"] == QUESTION
        streamed = [event["event"] for event in objects(part[f"{protocol}: a stream"])]
        assert joined(event.get("delta", {}).get("text", "") for event in streamed) == WORDS
        [late] = objects(part[f"{protocol}: a deadline"])
        assert late["code"] == "deadline_exceeded"
        left = f"{protocol}: a stream that is left after its first lines; that ends the work behind the mesh, too"
        assert '"text"' in part[left]
        unknown, busy = objects(part[f"{protocol}: failures"])
        assert (unknown["code"], busy["code"]) == ("not_found", "unavailable")
        [info] = details(unknown)
        assert (info.reason, dict(info.metadata)) == ("MODEL_NOT_FOUND", {"model": "no-such-model"})
        info, retry = details(busy)
        assert (info.reason, retry.retry_delay.ToMilliseconds()) == ("ACCOUNTING_UNAVAILABLE", 1500)
    assert ledger.outcomes(12).count(("inference", "cancelled", True)) == 2


def test_buf_curl_needs_no_reflection_where_it_has_the_published_contracts(run: Run, demo: Mesh) -> None:
    said = run(
        *("buf", "curl", "--http2-prior-knowledge", "--protocol", "grpc"),
        *("--schema", "build/contracts/hybridinference.binpb", "--reflect=false", "--data", "{}"),
        f"http://127.0.0.1:{demo.port}/{SERVICE}/ListModels",
    )
    assert [model["name"] for model in json.loads(said.text)["models"]] == ["echo"]


def test_the_template_of_the_readme_generates_a_client(run: Run, tmp_path: pathlib.Path) -> None:
    [template] = re.findall(
        r"^```yaml\n(.*?)^```$", (ROOT / "examples/README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    run("buf", "generate", "--template", template, "--output", tmp_path)
    made = tmp_path / "generated"
    assert (made / "hybridinference/gateway/v1/inference_service.grpc.pb.h").is_file()
    assert (made / "hybridinference/inference/v1/generation.pb.h").is_file()
    assert (made / "google/rpc/error_details.pb.h").is_file()


def test_a_mesh_hands_out_its_contracts(run: Run, demo: Mesh, tmp_path: pathlib.Path) -> None:
    out = tmp_path / "contracts.binpb"
    run("grpcurl", "-plaintext", "-protoset-out", out, f"127.0.0.1:{demo.port}", "describe", SERVICE)
    run(
        "protoc",
        f"--descriptor_set_in={out}",
        f"--ruby_out={tmp_path}",
        "hybridinference/gateway/v1/inference_service.proto",
    )
    assert (tmp_path / "hybridinference/gateway/v1/inference_service_pb.rb").is_file()
