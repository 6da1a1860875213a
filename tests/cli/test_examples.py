"""The examples that a new user pastes."""

import ast
import json
import pathlib
import shlex

from google.protobuf import json_format
from hybridinference.gateway.v1 import inference_service_pb2

from services.cli.examples import examples

TEXT = examples("127.0.0.1", 8080, "org/it's", grpcurl="/env with space/grpcurl", python="/env/python")
CURL, SDK, GRPC = (shlex.split(line) for line in TEXT.splitlines() if line.startswith("  "))


def test_the_shell_sees_what_is_meant_whatever_the_models_name() -> None:
    assert json.loads(CURL[-1])["model"] == "org/it's"
    assert "org/it's" in SDK[-1]
    assert GRPC[0] == "/env with space/grpcurl"


def test_the_sdk_example_is_python() -> None:
    ast.parse(SDK[-1])
    assert SDK[:2] == ["/env/python", "-c"]


def test_the_grpc_example_is_a_request() -> None:
    request = json_format.Parse(GRPC[3], inference_service_pb2.StreamGenerateRequest())
    assert request.spec.messages[0].parts[0].text == "What is the capital of France?"
    assert request.spec.sampling.HasField("temperature")


def test_its_method_exists() -> None:
    service, _, method = GRPC[-1].partition("/")
    found = inference_service_pb2.DESCRIPTOR.services_by_name["InferenceService"]
    assert (found.full_name, method in found.methods_by_name) == (service, True)


def test_with_tls_every_example_trusts_the_certificate() -> None:
    text = examples("localhost", 8443, "m", grpcurl="grpcurl", python="python", certificate="/my tls/edge.crt")
    curl, sdk, grpc = (shlex.split(line) for line in text.splitlines() if line.startswith("  "))
    assert curl[:4] == ["curl", "-s", "--cacert", "/my tls/edge.crt"]
    assert curl[4] == "https://localhost:8443/v1/chat/completions"
    assert sdk[0] == "SSL_CERT_FILE=/my tls/edge.crt"
    assert grpc[:3] == ["grpcurl", "-cacert", "/my tls/edge.crt"]
    assert "-plaintext" not in text


def test_where_callers_need_a_key_every_example_sends_the_one_that_the_first_line_makes() -> None:
    text = examples("localhost", 8080, "m", grpcurl="grpcurl", python="python", keyed=pathlib.Path("/my home"))
    make, curl, sdk, grpc = (shlex.split(line) for line in text.splitlines() if line.startswith("  "))
    assert make[0] == "export"
    assert text.splitlines()[2] == "  export HYBRID_API_KEY=$(hybrid keys create --owner me --home '/my home')"
    assert curl[3:5] == grpc[2:4] == ["-H", "authorization: Bearer $HYBRID_API_KEY"]
    ast.parse(sdk[-1])
    assert 'api_key=os.environ["HYBRID_API_KEY"]' in sdk[-1]
    assert "HYBRID_API_KEY" not in TEXT
