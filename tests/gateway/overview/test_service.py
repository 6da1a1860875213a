"""The RPC over a gateway that serves: without keys, without a key, with one, and with one for everything."""

import asyncio
import pathlib

import grpc
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.gateway.v1 import overview_pb2 as overview
from hybridinference.gateway.v1 import overview_service_pb2 as service
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis import status
from services.chassis.failure import Failure
from services.chassis.version import version
from services.gateway.identity.credential import Credential, make
from services.gateway.identity.grant import Grant
from services.gateway.overview.service import MOST_REQUESTS
from tests.fakes import Events, delta, finished, saying, spec, started
from tests.gateway.faces import CONFIG, faces
from tests.gateway.scene import MODEL

SCRIPTS = {"": saying(started(), delta("hello"), finished(3))}
ASK = service.OverviewRequest()
FIRST, SECOND, THIRD = (make(bytes([number]) * 42) for number in range(3))
GRANTS = {
    FIRST.key_id: Grant(FIRST.key_id, "first", models=frozenset({MODEL})),
    SECOND.key_id: Grant(SECOND.key_id, "second"),
    THIRD.key_id: Grant(THIRD.key_id, "third", scopes=frozenset({"overview"})),
}


class Keys:
    """A keyring of three keys."""

    async def judge(self, credential: Credential) -> tuple[str, Grant | None]:
        grant = GRANTS.get(credential.key_id)
        return ("accepted" if grant else "unknown"), grant


def by(key: Credential) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key.text()}"),)


async def test_without_keys_everything_is_told(directory: pathlib.Path) -> None:
    async with faces(directory, SCRIPTS, {}) as served:
        request = gateway.GenerateRequest(spec=spec())
        done = [(await served.inference.Generate(request)).generation_id for _ in range(3)]
        told = await served.overview.Overview(ASK)
        some = await served.overview.Overview(service.OverviewRequest(max_requests=2))
    assert told.extent == overview.OVERVIEW_EXTENT_ALL
    assert (told.healthy_workers, told.total_workers, [each.worker for each in told.workers]) == (2, 2, ["w0", "w1"])
    assert (told.gateway, told.config_version, told.version) == ("gateway", CONFIG.version, version())
    assert told.at.ToNanoseconds() >= told.started_at.ToNanoseconds() > 0
    assert [each.name for each in told.models] == ["a/b:c", "b", MODEL]
    assert [each.generation_id for each in told.requests] == done[::-1], "the latest first"
    assert [each.generation_id for each in some.requests] == done[:0:-1]
    assert [(each.worker, each.strategy) for each in told.requests[0].attempts] == [("w0", "scripted")]
    assert (told.totals.ended, told.totals.running, told.totals.output_tokens) == (3, 0, 9)
    states = {each.name: each.state for each in told.processes}
    assert (states["gateway"], states["router"], states["envoy"]) == ("serving", "serving", "unknown")


async def test_whoever_shows_no_key_where_keys_are_needed_hears_counts_alone(directory: pathlib.Path) -> None:
    async with faces(directory, SCRIPTS, keyring=Keys()) as served:  # type: ignore[arg-type]
        await served.inference.Generate(gateway.GenerateRequest(spec=spec()), metadata=by(SECOND))
        told = await served.overview.Overview(ASK)
    assert told == service.OverviewResponse(extent=overview.OVERVIEW_EXTENT_HEALTH, healthy_workers=1, total_workers=1)


async def test_a_key_that_is_shown_has_to_be_right(directory: pathlib.Path) -> None:
    async with faces(directory, SCRIPTS, keyring=Keys()) as served:  # type: ignore[arg-type]
        for metadata in (by(make(bytes([9]) * 42)), (("authorization", "Bearer x"),)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await served.overview.Overview(ASK, metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_key_hears_of_its_own_and_one_for_the_overview_of_everybodys(directory: pathlib.Path) -> None:
    async with faces(directory, SCRIPTS, keyring=Keys()) as served:  # type: ignore[arg-type]
        request = gateway.GenerateRequest(spec=spec())
        first = (await served.inference.Generate(request, metadata=by(FIRST))).generation_id
        second = (await served.inference.Generate(request, metadata=by(SECOND))).generation_id
        own = await served.overview.Overview(ASK, metadata=by(FIRST))
        others = await served.overview.Overview(ASK, metadata=by(SECOND))
        everything = await served.overview.Overview(ASK, metadata=by(THIRD))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.inference.Generate(request, metadata=by(THIRD))
    assert own.extent == overview.OVERVIEW_EXTENT_OWN
    assert [each.generation_id for each in own.requests] == [first]
    assert [each.generation_id for each in others.requests] == [second]
    assert [each.name for each in own.models] == [MODEL], "the one that it may use"
    assert (len(own.workers), len(own.processes), own.HasField("totals")) == (0, 0, False)
    assert "w0" not in str(own)
    assert [(each.generation_id, each.owner) for each in everything.requests] == [(second, "second"), (first, "first")]
    assert [each.worker for each in everything.workers] == ["w0"]
    assert status.from_rpc_error(caught.value).reason_name == "PERMISSION_DENIED", "to see is not to use"


async def test_a_key_that_asks_without_end_is_held_back_and_neither_strangers_nor_other_keys_are(
    directory: pathlib.Path,
) -> None:
    most = service.OverviewRequest(max_requests=MOST_REQUESTS)
    async with faces(directory, SCRIPTS, keyring=Keys()) as served:  # type: ignore[arg-type]

        async def without_end() -> None:
            while True:
                await served.overview.Overview(most, metadata=by(FIRST))

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(without_end(), 60)
        refused = status.from_rpc_error(caught.value)
        assert (refused.reason_name, refused.metadata["limit"]) == ("RATE_LIMITED", "overview")
        assert refused.retry_after
        assert (await served.overview.Overview(most, metadata=by(SECOND))).extent == overview.OVERVIEW_EXTENT_OWN
        for _ in range(20):
            assert (await served.overview.Overview(most)).extent == overview.OVERVIEW_EXTENT_HEALTH


async def test_no_more_requests_are_told_than_there_may_be(directory: pathlib.Path) -> None:
    async with faces(directory, SCRIPTS) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.overview.Overview(service.OverviewRequest(max_requests=MOST_REQUESTS + 1))
    assert status.from_rpc_error(caught.value).metadata["field"] == "max_requests"


async def test_what_is_under_way_is_counted_and_what_has_failed_is_told_with_its_reason(
    directory: pathlib.Path,
) -> None:
    go_on = asyncio.Event()

    async def slow() -> Events:
        yield started()
        yield delta("a")
        await go_on.wait()
        yield finished()

    async def fails() -> Events:
        yield started()
        raise Failure(reasons.ERROR_REASON_ENGINE_FAILED, "No.")

    async with faces(directory, {"slow": slow, "fails": fails}) as served:
        with pytest.raises(grpc.aio.AioRpcError):
            await served.inference.Generate(gateway.GenerateRequest(spec=spec("fails")))
        call = served.inference.StreamGenerate(gateway.StreamGenerateRequest(spec=spec("slow")))
        await anext(aiter(call))
        meanwhile = await served.overview.Overview(ASK)
        go_on.set()
        async for _ in call:
            pass
        after = await served.overview.Overview(ASK)
    assert (meanwhile.totals.running, meanwhile.totals.ended) == (1, 1)
    assert (after.totals.running, after.totals.ended, after.totals.failed) == (0, 2, 1)
    failed = after.requests[1]
    assert failed.error_reason == "ENGINE_FAILED"
    assert [each.error_reason for each in failed.attempts] == ["ENGINE_FAILED"]
