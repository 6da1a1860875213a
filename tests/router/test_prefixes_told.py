"""What workers tell of prompts that they have been sent, by whichever router."""

from hybridinference.inference.v1 import worker_status_pb2 as worker_status

from tests.router.scene import Scene, mesh_config, report


def _told(*hashes: int, epoch: int = 1, sequence: int = 2, model: str = "pm") -> worker_status.WorkerStatus:
    status = report(epoch=epoch, sequence=sequence)
    status.prefixes.add(model=model, hashes=hashes)
    return status


def _hits(scene: Scene, *hashes: int) -> dict[str, int]:
    pool = scene.roster.pools["m"]
    names = {target.position: target.worker.name for target in pool.targets}
    return {names[at]: depth for at, depth in pool.prefixes.match(hashes).items()}


def test_a_prompt_that_another_router_has_placed_is_expected_in_that_worker_s_cache() -> None:
    scene = Scene(mesh_config(workers=2))
    scene.report("main-1", _told(1, 2, 3))
    assert _hits(scene, 1, 2, 3, 4) == {"main-1": 3}


def test_a_model_that_the_worker_serves_to_others_is_none_of_this_model_s_business() -> None:
    scene = Scene(mesh_config(workers=2))
    scene.report("main-1", _told(1, model="another"))
    assert _hits(scene, 1) == {}


def test_a_new_process_has_nothing_in_its_cache_but_what_it_tells_itself() -> None:
    scene = Scene(mesh_config(workers=2))
    scene.report("main-1", _told(1, 2))
    scene.report("main-1", _told(7, epoch=2, sequence=1))
    assert _hits(scene, 1, 2) == {}
    assert _hits(scene, 7) == {"main-1": 1}


def test_a_late_report_of_the_process_before_says_nothing_of_the_cache() -> None:
    scene = Scene(mesh_config(workers=2))
    scene.report("main-1", report(epoch=2))
    scene.report("main-1", _told(1, epoch=1, sequence=9))
    assert _hits(scene, 1) == {}


def test_gateways_are_not_told_of_prompts_nor_woken_for_them() -> None:
    scene = Scene(mesh_config(workers=2))
    version = scene.roster.version
    scene.report("main-1", _told(1, 2))
    assert scene.roster.version == version
    assert not any(seen.status.prefixes for seen in scene.roster.snapshot(scene.now))
