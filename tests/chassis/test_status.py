"""Failure to and from the wire."""

import ast
import math
import pathlib
import re
import tempfile

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis import status
from services.chassis.channel import open_channel
from services.chassis.failure import Failure

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PROTO = _ROOT / "protos" / "hybridinference" / "inference" / "v1" / "error_reason.proto"
_VALUES = re.compile(r"((?:^ +//.*\n)+) +(ERROR_REASON_\w+) = (\d+);", re.MULTILINE)

# What the comments of the contract say: status code, whether with RetryInfo, and the keys of the metadata.
_DOCUMENTED = {name: comment for comment, name, _ in _VALUES.findall(_PROTO.read_text(encoding="utf-8"))}


def _documented_code(name: str) -> str:
    found = re.search(r"Status ([A-Z_]+)", _DOCUMENTED[name])
    assert found, f"the comment of {name} names no status"
    return found[1]


def _documented_keys(name: str) -> set[str]:
    _, _, metadata = _DOCUMENTED[name].partition("Metadata:")
    return {*re.findall(r"`(\w+)`", metadata), "generation_id"}


def test_every_reason_is_documented() -> None:
    assert set(_DOCUMENTED) == set(reasons.ErrorReason.keys())


@pytest.mark.parametrize("name", reasons.ErrorReason.keys())
def test_the_code_of_a_reason_is_the_one_its_comment_names(name: str) -> None:
    failure = Failure(reasons.ErrorReason.Value(name), "why")
    assert code_pb2.Code.Name(status.code_of(failure)) == _documented_code(name)


def test_no_failure_carries_metadata_that_its_reason_does_not_document() -> None:
    disagreements = []
    for path in sorted((_ROOT / "services").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Failure"):
                continue
            reason = call.args[0].attr if call.args and isinstance(call.args[0], ast.Attribute) else ""
            if reason not in _DOCUMENTED:
                continue
            keys = {keyword.arg for keyword in call.keywords if keyword.arg} - {"retry_after", "metadata"}
            if extra := keys - _documented_keys(reason):
                disagreements.append(f"{path.relative_to(_ROOT)}:{call.lineno}: {reason} has no {sorted(extra)}")
    assert not disagreements


def test_a_failure_survives_the_wire() -> None:
    sent = Failure(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, "Slow down.", retry_after=1.5, provider="openai")
    received = status.from_status(status_pb2.Status.FromString(status.to_status(sent).SerializeToString()))
    assert (received.reason, received.message, received.retry_after, received.metadata) == (
        sent.reason,
        sent.message,
        1.5,
        {"provider": "openai"},
    )


def test_without_retry_after_there_is_no_retry_info() -> None:
    sent = Failure(reasons.ERROR_REASON_INTERNAL, "No.")
    assert len(status.to_status(sent).details) == 1
    assert status.from_status(status.to_status(sent)).retry_after is None


@settings(deadline=None)  # a busy machine is no fault
@given(
    message=st.text(st.characters(codec=None), max_size=2000),
    value=st.text(st.characters(codec=None), max_size=2000),
    retry_after=st.none() | st.floats(),
)
def test_any_failure_can_travel(message: str, value: str, retry_after: float | None) -> None:
    sent = Failure(reasons.ERROR_REASON_PROVIDER_REJECTED, message, retry_after=retry_after, field=value)
    wire = status.to_status(sent).SerializeToString()
    received = status.from_status(status_pb2.Status.FromString(wire))
    assert received.reason == sent.reason
    assert len(received.message) <= 500
    assert (received.retry_after is None) == (retry_after is None)
    if retry_after is not None and 0 <= retry_after <= 3600:
        assert received.retry_after is not None
        assert math.isclose(received.retry_after, retry_after, abs_tol=1e-9)
    if len(message) <= 500 and not any("\ud800" <= character <= "\udfff" for character in message):
        assert received.message == message


def _with_info(code: int, reason: str) -> status_pb2.Status:
    box = any_pb2.Any()
    box.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=status.DOMAIN, metadata={"key": "value"}))
    return status_pb2.Status(code=code, message="why", details=[box])


_CLOSEST = [
    (code_pb2.CANCELLED, reasons.ERROR_REASON_CANCELLED),
    (code_pb2.INVALID_ARGUMENT, reasons.ERROR_REASON_SPEC_INVALID),
    (code_pb2.DEADLINE_EXCEEDED, reasons.ERROR_REASON_DEADLINE_EXCEEDED),
    (code_pb2.NOT_FOUND, reasons.ERROR_REASON_MODEL_NOT_FOUND),
    (code_pb2.PERMISSION_DENIED, reasons.ERROR_REASON_PERMISSION_DENIED),
    (code_pb2.UNAUTHENTICATED, reasons.ERROR_REASON_CREDENTIAL_INVALID),
    (code_pb2.RESOURCE_EXHAUSTED, reasons.ERROR_REASON_RATE_LIMITED),
    (code_pb2.UNIMPLEMENTED, reasons.ERROR_REASON_UNIMPLEMENTED),
    (code_pb2.UNAVAILABLE, reasons.ERROR_REASON_WORKER_LOST),
    (code_pb2.INTERNAL, reasons.ERROR_REASON_INTERNAL),
    (code_pb2.DATA_LOSS, reasons.ERROR_REASON_UNSPECIFIED),
]


@pytest.mark.parametrize(("code", "reason"), _CLOSEST)
def test_a_reason_from_a_newer_peer_becomes_the_closest_one(code: int, reason: int) -> None:
    failure = status.from_status(_with_info(code, "OF_THE_FUTURE"))
    assert failure.reason == reason
    assert failure.metadata == {"key": "value"}


@pytest.mark.parametrize(("code", "reason"), _CLOSEST)
def test_a_bare_status_gets_the_closest_reason(code: int, reason: int) -> None:
    assert status.from_status(status_pb2.Status(code=code, message="why")).reason == reason


@pytest.mark.parametrize(("code", "reason"), _CLOSEST[:-1])
def test_the_closest_reason_keeps_the_code(code: int, reason: "reasons.ErrorReason.ValueType") -> None:
    assert status.code_of(Failure(reason, "")) == code


async def _over_a_call(outcome: Failure | grpc.StatusCode) -> Failure:
    async def handler(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        if isinstance(outcome, Failure):
            await context.abort_with_status(status.to_grpc(outcome))
        await context.abort(outcome, "bare")
        return b""

    server = grpc.aio.server()
    methods = {"Call": grpc.unary_unary_rpc_method_handler(handler)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", methods),))
    with tempfile.TemporaryDirectory(prefix="hy") as directory:
        address = f"unix:{directory}/s.sock"
        server.add_insecure_port(address)
        await server.start()
        try:
            async with open_channel(address) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await channel.unary_unary("/test.Test/Call")(b"")
        finally:
            await server.stop(None)
    return status.from_rpc_error(caught.value)


@pytest.mark.parametrize(
    "message", ["Busy.", "", "Zu früh – „später“ 100%\nNext", "漢" * 5000], ids=lambda text: text[:5]
)
async def test_a_failure_survives_a_real_call(message: str) -> None:
    sent = Failure(
        reasons.ERROR_REASON_WORKER_SATURATED, message, retry_after=0.25, worker="local-0", model="🙂" * 3000
    )
    received = await _over_a_call(sent)
    assert received.reason == reasons.ERROR_REASON_WORKER_SATURATED
    assert received.retry_after == 0.25
    assert received.metadata["worker"] == "local-0"
    assert received.message[:400] == message[:400]


async def test_a_bare_status_of_a_real_call_becomes_a_failure() -> None:
    received = await _over_a_call(grpc.StatusCode.UNAVAILABLE)
    assert (received.reason, received.message) == (reasons.ERROR_REASON_WORKER_LOST, "bare")


async def test_a_peer_that_cannot_be_reached_is_lost() -> None:
    async with open_channel("unix:/nonexistent/peer.sock") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/test.Test/Call")(b"", timeout=5)
    assert status.from_rpc_error(caught.value).reason == reasons.ERROR_REASON_WORKER_LOST


@pytest.mark.parametrize("details", [b"\xff\xff", b"\x1a\x04\x12\x02\xff\xff"])
def test_details_that_nobody_can_read_leave_the_bare_status(details: bytes) -> None:
    trailers = grpc.aio.Metadata(("grpc-status-details-bin", details))
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), trailers, details="It is away.")
    failure = status.from_rpc_error(error)
    assert (failure.reason_name, failure.message) == ("WORKER_LOST", "It is away.")
