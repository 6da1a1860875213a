"""A worker that gets on with nothing is avoided, whatever the strategy, and comes back by itself."""

from collections import Counter

import pytest
from hybridinference.router.v1 import placement_pb2 as placement

from tests.router.scene import Scene, mesh_config, report


class _Load:
    """A steady load, 20 requests a second, on workers that answer at once, except for one that hangs."""

    def __init__(self, scene: Scene, hung: str = "main-0") -> None:
        self.scene = scene
        self.hung: set[str] = {hung}
        self.stuck: list = []
        self.placed: Counter[str] = Counter()
        self._emitted = 0

    def run(self, seconds: float) -> Counter[str]:
        """Where the requests of these seconds went."""
        before = Counter(self.placed)
        for _ in range(int(seconds * 20)):
            placed = self.scene.place()
            self.placed[placed.worker] += 1
            if placed.worker in self.hung:
                self.stuck.append(placed)
            else:
                self.scene.begin(placed, 0.1)
                self.scene.end(placed)
            self.scene.now += 0.05
            self._report()
        return self.placed - before

    def _report(self) -> None:
        self._emitted += 1
        for name in self.scene.roster.workers:
            hangs = name in self.hung
            running, emitted = (len(self.stuck), 0) if hangs else (0, self._emitted)
            status = report(sequence=self._emitted + 1, running=running)
            status.emitted = emitted
            self.scene.report(name, status)


@pytest.mark.parametrize("strategy", ["least_loaded", "round_robin"])
def test_a_hung_worker_has_less_than_two_in_a_hundred_within_five_seconds(strategy: str) -> None:
    scene = Scene(mesh_config(workers=4, strategy=strategy))
    load = _Load(scene)
    load.run(5)
    placed = load.run(20)
    assert placed["main-0"] < 0.02 * placed.total()
    assert scene.health("main-0") == "STALLED"


def test_it_comes_back_with_the_first_content() -> None:
    scene = Scene(mesh_config(workers=2, strategy="round_robin"))
    load = _Load(scene)
    load.run(5)
    assert scene.health("main-0") == "STALLED"
    load.hung.clear()
    scene.begin(load.stuck[0], 5.0)
    scene.now += 0.3
    load.run(0.1)
    assert scene.health("main-0") == "HEALTHY"
    assert load.run(2)["main-0"] == 20


def test_callers_that_give_up_do_not_make_it_well() -> None:
    scene = Scene(mesh_config(workers=4, strategy="round_robin"))
    load = _Load(scene)
    load.run(5)
    for placed in load.stuck:
        scene.decider.on_withdrawal(scene.stream, placed.generation_id)
    load.stuck.clear()
    placed = load.run(20)
    assert 1 <= placed["main-0"] < 0.02 * placed.total(), "now and then one, to find out"


def test_one_that_is_well_again_without_anybody_s_help_is_found_out_within_half_a_minute() -> None:
    scene = Scene(mesh_config(workers=4, strategy="round_robin"))
    load = _Load(scene)
    load.run(5)
    for placed in load.stuck:
        scene.decider.on_withdrawal(scene.stream, placed.generation_id)
    load.stuck.clear()
    scene.now += 1e-3
    hung, load.hung = load.hung, set()
    # Its reports say nothing new, since nothing goes there.
    load.run(11)
    assert hung == {"main-0"}
    assert scene.health("main-0") == "HEALTHY"


def test_where_all_hang_nothing_is_refused() -> None:
    scene = Scene(mesh_config(workers=2))
    load = _Load(scene)
    load.hung = {"main-0", "main-1"}
    load.run(10)
    assert {scene.health(name) for name in scene.roster.workers} == {"STALLED"}
    assert scene.place().worker in scene.roster.workers


def test_the_fallback_serves_while_the_only_primary_worker_hangs() -> None:
    scene = Scene(mesh_config(workers=1, fallback_workers=1))
    load = _Load(scene)
    load.run(5)
    assert load.run(5)["spare-0"] >= 99


def test_a_worker_whose_streams_get_on_is_not_stalled_by_a_long_queue() -> None:
    scene = Scene(mesh_config(workers=2))
    placed = [scene.place() for _ in range(4)]
    for second in range(20):
        scene.now += 1.0
        for name in scene.roster.workers:
            status = report(sequence=second + 2, running=2)
            status.emitted = second
            scene.report(name, status)
        scene.roster.on_time(scene.now)
        assert {scene.health(name) for name in scene.roster.workers} == {"HEALTHY"}
    assert len(placed) == 4


def test_a_worker_that_reports_no_longer_is_avoided_after_two_seconds_and_its_last_report_forgotten() -> None:
    scene = Scene(mesh_config(workers=2))
    scene.report("main-0", report(sequence=2, running=5))
    scene.now += 2.1
    scene.report("main-1", report(sequence=2, running=7))
    assert {scene.place().worker for _ in range(4)} == {"main-1"}
    assert scene.health("main-0") == "STALLED"
    assert scene.roster.workers["main-0"].others == 0
    scene.report("main-0", report(sequence=3, running=5))
    assert scene.place().worker == "main-0"
    assert scene.roster.workers["main-0"].others == 5


def test_where_nobody_reports_any_longer_the_router_goes_by_its_own_counts() -> None:
    scene = Scene(mesh_config(workers=2))
    scene.report("main-0", report(sequence=2, running=50))
    scene.now += 2.1
    assert Counter(scene.place().worker for _ in range(10)) == {"main-0": 5, "main-1": 5}


def test_where_the_others_are_only_full_a_request_waits_for_them_and_not_for_one_that_hangs() -> None:
    scene = Scene(mesh_config(workers=2))
    hung = scene.place()
    scene.now += 3.0
    for name in scene.roster.workers:
        busy = name != hung.worker
        scene.report(name, report(sequence=2, running=2 if busy else 1, capacity=2, kind="echo"))
    answer = scene.answer()
    assert isinstance(answer, placement.Waiting), answer


def test_time_is_looked_at_often_only_while_somebody_waits_for_a_beginning() -> None:
    scene = Scene(mesh_config(workers=2))
    assert not scene.roster.expectant
    placed = scene.place()
    assert scene.roster.expectant
    scene.begin(placed, 0.1)
    assert not scene.roster.expectant, "it has begun, and may take as long as it likes"
