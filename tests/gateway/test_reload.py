"""Another configuration while requests are under way."""

import asyncio
import contextlib
import dataclasses
import pathlib
from unittest import mock

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.config.mesh import Gateway
from services.gateway.adoption import Adoption
from services.gateway.pricing.book import PriceBook
from services.gateway.quota.estimates import Estimates
from tests.fakes import Events, delta, finished, saying, started
from tests.gateway.faces import CONFIG
from tests.gateway.scene import MODEL, scene

ESTIMATES = Estimates(CONFIG, PriceBook(CONFIG))


async def test_a_request_is_recorded_under_the_version_that_it_began_with(tmp_path: pathlib.Path) -> None:
    go_on = asyncio.Event()

    async def slow() -> Events:
        yield started()
        yield delta("a")
        await go_on.wait()
        yield finished()

    async with scene(tmp_path, {"slow": slow, "fast": saying(started(), delta("b"), finished())}) as made:
        async with contextlib.aclosing((await made.begin("slow")).events()) as events:
            await anext(events)
            made.recorder.reconfigure(config_version="w", models={MODEL: MODEL}, book=PriceBook(CONFIG))
            await made.run("fast")
            go_on.set()
            async for _ in events:
                pass
        versions = {record.request.generation_id: record.request.config_version for record in made.book.records}
        assert list(versions.values()) == ["w", "v"]


async def test_how_much_may_be_under_way_changes_and_what_is_under_way_goes_on(tmp_path: pathlib.Path) -> None:
    async with scene(tmp_path, {"x": saying(started(), delta("a"), finished())}, max_running=2) as made:
        first, second = await made.begin("x"), await made.begin("x")
        made.relay.reconfigure(max_running=1, max_shadows=2, show_worker=False, estimates=ESTIMATES)
        for _ in range(2):
            with pytest.raises(Failure) as refused:
                await made.begin("x")
            assert refused.value.reason == reasons.ERROR_REASON_FLEET_SATURATED
            async for _events in first.events():
                pass
            first = second
        await made.begin("x")
        made.relay.reconfigure(max_running=2, max_shadows=2, show_worker=False, estimates=ESTIMATES)
        await made.begin("x")
        with pytest.raises(Failure):
            await made.begin("x")


async def test_metrics_have_a_model_by_its_own_name(tmp_path: pathlib.Path) -> None:
    async with scene(tmp_path, {"x": saying(started(), delta("a"), finished())}) as made:
        made.recorder.reconfigure(config_version="w", models={"own": "own", MODEL: "own"}, book=PriceBook(CONFIG))
        await made.run("x")
        labels = {"api": "inference", "model": "own", "outcome": "success", "reason": ""}
        assert made.registry.get_sample_value("hybrid_gateway_requests_total", labels) == 1
        assert made.request.model == MODEL, "as it was asked for"


def test_every_setting_of_a_gateway_that_may_change_while_it_runs_is_taken_up() -> None:
    parts = {field.name: mock.Mock() for field in dataclasses.fields(Adoption)}
    at_start = {"listen", "spool", "spool_bytes", "tenant_key"}
    elsewhere = {"drain_seconds"}  # looked up at the stop
    config = CONFIG.model_copy(update={"gateway": Gateway(waiting_bytes=1, max_running=2, max_shadows=3, instances=2)})
    Adoption(**parts).take(config)
    taken = {name: value for part in parts.values() for name, value in part.reconfigure.call_args.kwargs.items()}
    taken["timeout_seconds"] = taken.pop("longest_seconds")
    taken["instances"] = taken.pop("gateways")
    wanted = config.gateway.model_dump(exclude=at_start | elsewhere)
    assert {name: taken.get(name) for name in wanted} == wanted
