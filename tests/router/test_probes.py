"""Small generations at idle workers, and their health services: real workers on sockets."""

import asyncio
import contextlib
import dataclasses
import pathlib
import random
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis import metrics
from services.chassis.failure import Failure
from services.config.mesh import MeshConfig
from services.config.router import Probe
from services.router import probes, probing
from services.router.checks import Checks
from services.router.fleet import Fleet
from services.router.probes import Probes
from services.router.roster import Roster
from services.router.telemetry import Telemetry
from services.workers.provider import AttemptContext
from tests.fakes import Events, RunningWorker, ScriptedProvider, delta, eventually, finished, running_worker, started
from tests.router.scene import LOST, Scene, mesh_config, report


class Noting(ScriptedProvider):
    """Keeps what it is asked for."""

    specs: Sequence[generation.GenerationSpec] = ()

    def generate(self, spec: generation.GenerationSpec, context: AttemptContext) -> Events:
        self.specs = (*self.specs, spec)
        return super().generate(spec, context)


@dataclasses.dataclass
class Watched:
    """A worker, and a roster that follows it."""

    worker: RunningWorker
    provider: "Noting"
    roster: Roster
    registry: metrics.CollectorRegistry
    running: contextlib.AsyncExitStack

    def probes(self, outcome: str) -> float:
        """How many probes came to this."""
        labels = {"worker": "main-0", "outcome": outcome}
        return self.registry.get_sample_value("hybrid_router_probes_total", labels) or 0.0


async def answers() -> Events:
    """An answer of one token."""
    yield started()
    yield delta("a")
    yield finished()


async def fails() -> Events:
    """No answer."""
    yield started()
    raise Failure(reasons.ERROR_REASON_ENGINE_FAILED, "Dead.")


async def hangs() -> Events:
    """Nothing at all."""
    yield started()
    await asyncio.get_running_loop().create_future()


@pytest.fixture
async def watched(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    """A worker that has nothing to do, whose router thinks that after a hundredth of a second is long."""
    monkeypatch.setattr(probes, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(probes, "_CALM_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(probing, "_AGAIN_SECONDS", 0.05)
    address = f"unix:{home}/w0.sock"
    config = mesh_config(
        addresses=[address, f"unix:{home}/nobody.sock"],
        router={"probe": {"idle_seconds": 1, "seconds": 0.2}, "breaker": {"consecutive_failures": 2}},
    )
    config = _with_idle(config, 0.2)
    registry = metrics.new_registry()
    roster = Roster(config, Telemetry(registry))
    fleet = Fleet(roster, stale_seconds=3, clock=time.monotonic)
    provider = Noting({"": answers})
    async with (
        running_worker(address, provider) as worker,
        contextlib.AsyncExitStack() as stack,
    ):
        asking = Probes(config, roster, fleet.notify, clock=time.monotonic, rng=random.Random(1))
        checks = Checks(roster, fleet.notify)
        await stack.enter_async_context(fleet.watching(checks.follow, asking.follow))
        yield Watched(worker, provider, roster, registry, stack)


def _with_idle(config: MeshConfig, seconds: float) -> MeshConfig:
    probe = config.router.probe.model_copy(update={"idle_seconds": seconds})
    return config.model_copy(update={"router": config.router.model_copy(update={"probe": probe})})


async def test_an_idle_worker_is_asked_for_one_token_now_and_then(watched: Watched) -> None:
    begun = time.monotonic()
    await eventually(lambda: watched.probes("success") == 3, seconds=30)
    assert time.monotonic() - begun >= 0.4
    assert {spec.max_output_tokens for spec in watched.provider.specs} == {1}
    assert watched.roster.workers["main-0"].leases == 0
    assert watched.provider.most_running == 1


async def test_a_dead_engine_is_found_and_found_well_again_without_any_caller(watched: Watched) -> None:
    watched.provider.scripts[""] = fails
    await eventually(lambda: watched.roster.workers["main-0"].breaker.state.value == "open", seconds=30)
    watched.provider.scripts[""] = answers
    await eventually(lambda: watched.roster.workers["main-0"].breaker.state.value == "closed", seconds=30)
    assert watched.probes("hard") >= 2


async def test_an_engine_that_hangs_is_given_up_in_time_and_what_it_did_is_cancelled(watched: Watched) -> None:
    watched.provider.scripts[""] = hangs
    await eventually(lambda: watched.probes("hard") >= 1, seconds=30)
    await eventually(lambda: len(watched.provider.closed) >= 1, seconds=30)


async def test_a_router_that_stops_takes_its_probe_along(watched: Watched) -> None:
    watched.provider.scripts[""] = hangs
    await eventually(lambda: watched.provider.running == 1, seconds=30)
    await watched.running.aclose()
    await eventually(lambda: watched.provider.running == 0, seconds=30)


async def test_a_worker_whose_health_service_says_no_takes_nothing_until_it_says_yes(watched: Watched) -> None:
    worker = watched.roster.workers["main-0"]
    await eventually(lambda: worker.serving, seconds=30)
    await watched.worker.server.mark_serving(False)
    await eventually(lambda: not worker.serving, seconds=30)
    await watched.worker.server.mark_serving()
    await eventually(lambda: worker.serving, seconds=30)


def _due(scene: Scene, *, asked_at: float = 0.0, failed: bool = False) -> bool:
    return probing.due(scene.roster.workers["main-0"], Probe(), scene.now, asked_at=asked_at, failed=failed)


def test_a_worker_that_has_just_served_somebody_is_not_asked() -> None:
    scene = Scene(mesh_config(workers=2))
    assert _due(scene)
    while (placed := scene.place()).worker != "main-0":
        scene.end(placed)
    assert not _due(scene), "it has something to do"
    scene.begin(placed)
    scene.end(placed)
    assert not _due(scene)
    scene.now += 29.9
    assert not _due(scene)
    scene.now += 0.2
    assert _due(scene)
    assert not _due(scene, asked_at=scene.now - 29.0)


def test_one_that_is_left_alone_is_asked_before_any_caller_is_sent_there() -> None:
    scene = Scene(mesh_config(workers=2, router={"breaker": {"consecutive_failures": 1}}))
    while (placed := scene.place()).worker != "main-0":
        scene.end(placed)
    scene.end(placed, LOST, wanted=False)
    assert not _due(scene)
    scene.now += 1.3
    assert _due(scene)
    assert scene.roster.workers["main-0"].breaker.on_placed(scene.now)
    assert not _due(scene), "one probe at a time"


def test_one_that_hangs_is_asked_and_one_that_failed_is_asked_again_soon() -> None:
    scene = Scene(mesh_config(workers=1))
    scene.place()
    scene.now += 3.0
    assert _due(scene)
    idle = Scene(mesh_config(workers=1))
    assert _due(idle, asked_at=idle.now - 2.0, failed=True)
    assert not _due(idle, asked_at=idle.now - 1.0, failed=True)


def test_only_engines_of_one_s_own_without_a_price_are_asked() -> None:
    vendor = {"kind": "openai", "api_keys": ["k"], "models": ["x"]}
    routes = [{"provider": name} for name in ("free", "vendor")]
    routes.append({"provider": "priced", "price": {"input": 1, "output": 0}})
    config = MeshConfig.model_validate(
        {
            "providers": {"free": {"kind": "echo"}, "priced": {"kind": "echo"}, "vendor": vendor},
            "models": [{"name": "m", "routes": routes}],
        }
    )
    roster = Scene(config, healthy=False).roster
    assert [name for name, worker in roster.workers.items() if probing.is_free(worker, config, roster)] == ["free-0"]


def test_a_worker_that_answers_no_messages_is_not_asked() -> None:
    scene = Scene(mesh_config(workers=1), healthy=False)
    scene.report("main-0", report(capabilities=()))
    assert probing.model_to_ask(scene.roster.workers["main-0"]) == ""
    scene.report("main-0", report(sequence=2))
    assert probing.model_to_ask(scene.roster.workers["main-0"]) == "pm"
