"""The OpenAPI document: what the contracts say is in it, and the committed file is it."""

import json
import pathlib

import google.rpc.status_pb2
import pytest
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis import register
from services.gateway.openapi import openai, typed
from services.gateway.openapi.__main__ import written
from services.gateway.openapi.comments import Comments
from services.gateway.openapi.messages import Messages

ROOT = pathlib.Path(__file__).parents[3]
FILE = ROOT / "infrastructure" / "envoy" / "openapi.json"
SCHEMAS = json.loads(FILE.read_text())["components"]["schemas"]
RESPONSES = json.loads(FILE.read_text())["components"]["responses"]
REASONS = sorted(reasons.ErrorReason.keys())
PATHS = json.loads(FILE.read_text())["paths"]


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The contracts with their comments, as `make openapi` builds them."""
    file = tmp_path_factory.mktemp("contracts") / "contracts.binpb"
    common = pathlib.Path(google.rpc.status_pb2.__file__).parents[2]
    own = pathlib.Path(protoc.__file__).parent / "_proto"
    options = [f"-I{path}" for path in (ROOT / "protos", common, own)]
    sources = sorted(str(path) for path in (ROOT / "protos").rglob("*.proto"))
    assert not protoc.main(["protoc", *options, "--include_source_info", f"--descriptor_set_out={file}", *sources])
    return file.read_bytes()


@pytest.fixture(scope="module")
def comments(contracts: bytes) -> Comments:
    return Comments(descriptor_pb2.FileDescriptorSet.FromString(contracts).file)


def schema(name: str) -> dict:
    return SCHEMAS[f"hybridinference.inference.v1.{name}"]


def test_the_committed_document_is_what_contracts_and_codecs_make(contracts):
    assert FILE.read_text() == written(contracts), "stale: run `make openapi`"


def test_comments_are_descriptions(comments):
    assert (
        comments.of("hybridinference.inference.v1.Usage.input_tokens") == "Tokens of the prompt, cached ones included."
    )
    assert schema("Usage")["properties"]["input_tokens"]["description"].startswith("Tokens of the prompt")
    assert "`FINISH_REASON_LENGTH`: The token limit." in schema("FinishReason")["description"]
    assert "buf:lint" not in FILE.read_text()


def test_every_method_of_both_faces_has_its_path():
    operations = {operation["operationId"] for path in PATHS.values() for operation in path.values()}
    services = (openai.SERVICE, *typed.SERVICES)
    assert operations == {f"{service.name}_{method.name}" for service in services for method in service.methods}


def test_what_is_always_printed_is_required_of_answers():
    assert schema("Delta")["required"] == [field.name for field in generation.Delta.DESCRIPTOR.fields]
    assert "required" not in schema("GenerationEvent")
    response = SCHEMAS["hybridinference.gateway.v1.GenerateResponse"]
    assert "generation_id" in response["required"]
    assert not {"usage", "route"} & set(response["required"])


def test_what_the_contract_requires_is_required_of_requests():
    assert schema("GenerationSpec")["required"] == ["model"]
    assert SCHEMAS["hybridinference.gateway.v1.GenerateRequest"]["required"] == ["spec"]


def test_exactly_one_member_of_a_oneof_is_there():
    assert schema("GenerationEvent")["oneOf"] == [{"required": [name]} for name in ("started", "delta", "finished")]
    assert "oneOf" not in schema("SamplingParams")  # `optional` fields are oneofs to protoc alone


def test_types_are_those_of_protobufs_json():
    sampling, logprob = schema("SamplingParams")["properties"], schema("TokenLogprob")["properties"]
    assert sampling["seed"]["anyOf"][0] == {"type": "integer", "minimum": -(1 << 63), "maximum": (1 << 63) - 1}
    assert sampling["seed"]["anyOf"][1]["type"] == "string"
    assert sampling["logit_bias"]["additionalProperties"] == {"type": "number"}
    assert logprob["logprob"]["anyOf"][1] == {"enum": ["NaN", "Infinity", "-Infinity"]}
    assert logprob["token_bytes"]["contentEncoding"] == "base64"
    assert logprob["top"] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/hybridinference.inference.v1.TopLogprob"},
        "description": "The likeliest alternatives at this position, best first.",
    }


def test_a_message_that_is_sent_and_received_is_refused(comments):
    messages = Messages(comments)
    messages.asked(generation.Delta.DESCRIPTOR)
    messages.answered(generation.Delta.DESCRIPTOR)
    with pytest.raises(ValueError, match=r"Delta"):
        messages.schemas()


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.removeprefix("ERROR_REASON_"))
def test_every_reason_is_in_the_response_of_its_status_on_both_faces(reason):
    """tests/edge sees Envoy make the status of the typed face."""
    row = register.REASONS[reasons.ErrorReason.Value(reason)]
    http = register.BARE[row.grpc].http
    assert f"`{reason.removeprefix('ERROR_REASON_')}`" in RESPONSES[f"InferenceService.{http}"]["description"]
    assert f"`{row.code}`" in RESPONSES[f"OpenAIService.{row.http}"]["description"]


@pytest.mark.parametrize(("status", "shape"), [(404, "google.rpc.Status"), (413, "google.rpc.Status"), (431, "Error")])
def test_what_envoy_answers_below_api_has_the_shape_that_tests_of_the_edge_see(status, shape):
    content = RESPONSES[f"InferenceService.{status}"]["content"]["application/json"]
    assert content["schema"] == {"$ref": f"#/components/schemas/{shape}"}


def test_every_reference_leads_somewhere():
    document = json.loads(FILE.read_text())
    text = FILE.read_text()
    for target in {part.partition('"')[0] for part in text.split('"$ref": "#/')[1:]}:
        found = document
        for step in target.split("/"):
            found = found[step]
