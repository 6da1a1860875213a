"""Nobody gets to the admin service but operators, each to what it may do."""

import itertools
import pathlib

import grpc
import pytest
from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.channel import open_channel
from services.chassis.failure import Failure
from services.gateway.admin import rights
from services.gateway.admin.operators import Operators
from tests.gateway.admin.office import Office, operator

METHODS = [method.name for method in admin.DESCRIPTOR.services_by_name["AdminService"].methods]


def test_every_method_of_the_service_needs_a_right_and_no_other_is_named() -> None:
    assert set(rights.RIGHTS) == {f"/{rights.NAME}/{method}" for method in METHODS}
    assert not rights.OPEN & set(rights.RIGHTS)
    assert all(method.startswith(("/grpc.health.v1.", "/grpc.reflection.")) for method in rights.OPEN)


async def test_nobody_gets_through_without_the_credential_of_an_operator(admins: Office) -> None:
    right = admins.credential("root")
    wrong = right[:-1] + ("A" if right[-1] != "A" else "B")
    tries: tuple[tuple[tuple[str, str], ...], ...] = (
        (),
        (("authorization", ""),),
        (("authorization", f"Bearer {wrong}"),),
        (("authorization", f"Bearer hi_{'a' * 16}_{right[-43:]}"),),
        (("authorization", right),),
        (("authorization", f"Bearer {right}"), ("authorization", f"Bearer {right}")),
        (("x-authorization", f"Bearer {right}"),),
    )
    for method, metadata in itertools.product(METHODS, tries):
        with pytest.raises(Failure) as refused:
            # What is sent is not even read.
            await admins.call(method, b"\xff\xff\xff", metadata)
        assert refused.value.reason == reasons.ERROR_REASON_CREDENTIAL_INVALID
    assert admins.registry.get_sample_value("hybrid_admin_strangers_total") == len(METHODS) * len(tries)
    assert await admins.written() == []


async def test_an_operator_does_what_it_has_the_right_to_and_the_attempt_at_more_is_written_down(
    admins: Office,
) -> None:
    for method in METHODS:
        other = "maker_of-keys.1" if rights.RIGHTS[f"/{rights.NAME}/{method}"] == "usage" else "reader"
        with pytest.raises(Failure) as refused:
            await admins.ask(method, b"", other)
        assert refused.value.reason == reasons.ERROR_REASON_PERMISSION_DENIED
        assert (await admins.written())[-1] == (other, method, None, "refused")
        labels = {"action": method, "outcome": "refused"}
        assert admins.registry.get_sample_value("hybrid_admin_acts_total", labels) == 1


async def test_a_method_without_a_right_is_refused_to_everybody(
    admins: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "RIGHTS", {})
    with pytest.raises(Failure) as refused:
        await admins.ask("ListKeys", admin.ListKeysRequest())
    assert refused.value.reason == reasons.ERROR_REASON_PERMISSION_DENIED


async def test_what_is_no_request_is_refused_and_written_down(admins: Office) -> None:
    with pytest.raises(Failure) as refused:
        await admins.ask("CreateKey", b"\x0a\xff\xff")
    assert refused.value.reason == reasons.ERROR_REASON_SPEC_INVALID
    assert await admins.written() == [("root", "CreateKey", None, "refused")]


async def test_health_is_told_to_whoever_gets_to_the_socket_and_what_is_not_served_to_nobody(admins: Office) -> None:
    async with open_channel(admins.address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        for path in ("/hybridinference.gateway.v1.InferenceService/Generate", f"/{rights.NAME}/MakeMeRoot"):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary(path, empty_pb2.Empty.SerializeToString)(empty_pb2.Empty())
            assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_an_operator_who_is_no_more_is_nobody_at_once(admins: Office, directory: pathlib.Path) -> None:
    await admins.ask("ListKeys", admin.ListKeysRequest(), "lead")
    admins.guard.operators = Operators.of_files([operator(directory, "root")])
    with pytest.raises(Failure) as refused:
        await admins.ask("ListKeys", admin.ListKeysRequest(), "lead")
    assert refused.value.reason == reasons.ERROR_REASON_CREDENTIAL_INVALID
