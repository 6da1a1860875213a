"""One worker as the router knows it."""

import pytest
from hybridinference.inference.v1 import worker_status_pb2 as worker_status
from hypothesis import given
from hypothesis import strategies as st

from services.config.places import WorkerPlace
from services.config.router import Breaker
from services.router.faults import Kind, Verdict
from services.router.worker import Worker
from tests.router.scene import report


def _worker() -> Worker:
    return Worker(WorkerPlace("w", "p", "unix:w.sock"), Breaker())


def _loaded(worker: Worker) -> int:
    return worker.leases + worker.others


def test_a_report_counts_our_own_leases_only_once() -> None:
    worker = _worker()
    for _ in range(3):
        worker.on_leased(1)
    worker.on_status(report(running=3), 0.0)
    assert _loaded(worker) == 3


def test_load_of_others_stays_while_our_leases_come_and_go() -> None:
    worker = _worker()
    worker.on_leased(1)
    worker.on_status(report(running=5, waiting=2), 0.0)
    assert _loaded(worker) == 7
    worker.on_leased(1)
    assert _loaded(worker) == 8
    worker.on_leased(-1)
    worker.on_leased(-1)
    assert _loaded(worker) == 6


def test_leases_that_the_worker_has_not_seen_yet_count_all_the_same() -> None:
    worker = _worker()
    for _ in range(4):
        worker.on_leased(1)
    worker.on_status(report(running=1), 0.0)
    assert _loaded(worker) == 4


def test_a_lower_sequence_is_dropped_and_an_equal_one_is_not() -> None:
    worker = _worker()
    assert worker.on_status(report(sequence=5, running=5), 0.0)
    assert not worker.on_status(report(sequence=4, running=4), 1.0)
    assert (worker.others, worker.heard_at) == (5, 0.0)
    worker.on_status(report(sequence=5, running=5), 2.0)
    assert worker.heard_at == 2.0


def test_a_report_of_an_older_process_is_dropped() -> None:
    worker = _worker()
    worker.on_status(report(epoch=2, sequence=1), 0.0)
    assert not worker.on_status(report(epoch=1, sequence=9, state=worker_status.WORKER_STATE_DRAINING), 0.0)
    assert worker.serving


def test_after_a_lost_stream_even_a_clock_that_was_set_back_is_believed() -> None:
    worker = _worker()
    worker.on_status(report(epoch=2), 0.0)
    worker.on_lost()
    assert worker.on_status(report(epoch=1), 0.0)
    assert worker.serving


def test_a_new_process_starts_with_a_clean_slate() -> None:
    worker = _worker()
    worker.on_status(report(epoch=1), 0.0)
    worker.holds.add(Verdict(Kind.RATE, retry_after=100.0), 0.0)
    worker.on_first_content(9.0, 0.5)
    worker.on_status(report(epoch=2), 1.0)
    assert worker.holds.until == 0.0
    assert worker.first_content_seconds is None


def test_a_report_that_says_nothing_new_is_no_change() -> None:
    worker = _worker()
    assert worker.on_status(report(sequence=1), 0.0)
    assert not worker.on_status(report(sequence=2), 1.0)
    assert worker.on_status(report(sequence=3, running=1), 2.0)


def test_room_in_a_report_ends_a_hold_of_the_worker_but_not_one_of_its_vendor() -> None:
    full, limited = _worker(), _worker()
    full.on_status(report(capacity=4, running=4), 0.0)
    limited.on_status(report(capacity=4, running=4), 0.0)
    full.holds.add(Verdict(Kind.AWAY, retry_after=60.0), 0.0)
    limited.holds.add(Verdict(Kind.RATE, retry_after=60.0), 0.0)
    for worker in (full, limited):
        worker.on_status(report(sequence=2, capacity=4, running=4), 0.0)
        assert worker.holds.until == 60.0
        worker.on_status(report(sequence=3, capacity=4, running=3), 1.0)
    assert (full.holds.until, limited.holds.until) == (0.0, 60.0)


@pytest.mark.parametrize(
    ("verdict", "until"),
    [
        (Verdict(Kind.RATE), 11.0),
        (Verdict(Kind.RATE, retry_after=4.0), 14.0),
        (Verdict(Kind.RATE, retry_after=9e9), 310.0),
        (Verdict(Kind.HARD), 0.0),
        (Verdict(Kind.HARD, retry_after=4.0), 14.0),
    ],
)
def test_a_worker_is_left_alone_for_as_long_as_it_asks(verdict: Verdict, until: float) -> None:
    worker = _worker()
    worker.holds.add(verdict, 10.0)
    assert worker.holds.until == until


@given(
    reports=st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(0, 9)), min_size=1, unique_by=lambda r: r[:2]
    )
)
def test_reports_in_any_order_end_in_the_newest(reports: list[tuple[int, int, int]]) -> None:
    worker = _worker()
    for epoch, sequence, running in reports:
        worker.on_status(report(epoch=epoch, sequence=sequence, running=running), 0.0)
    newest = max(reports)
    assert worker.status is not None
    assert (worker.status.epoch, worker.status.sequence, worker.status.running) == newest
    assert worker.others == newest[2]


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("report"), st.integers(1, 3), st.integers(1, 20)),
        st.tuples(st.just("lease"), st.sampled_from((1, -1)), st.just(0)),
    ),
    max_size=60,
)


@given(_STEPS)
def test_reports_that_are_doubled_delayed_or_out_of_order_leave_what_the_newest_said(
    steps: list[tuple[str, int, int]],
) -> None:
    worker, newest, others = _worker(), None, 0
    for kind, first, second in steps:
        if kind == "lease":
            if worker.leases + first >= 0:
                worker.on_leased(first)
            continue
        # What a worker says is the same however often it is delivered.
        status = report(epoch=first, sequence=second, running=(first * 7 + second * 5) % 11)
        worker.on_status(status, 0.0)
        if newest is None or (first, second) > newest:
            newest = (first, second)
            others = max(0, status.running - worker.leases)
        assert worker.status is not None
        assert (worker.status.epoch, worker.status.sequence) == newest
        assert worker.others == others
        assert _loaded(worker) == worker.leases + others


def test_content_of_others_is_progress_but_no_change() -> None:
    worker = _worker()
    worker.on_status(report(sequence=1), 0.0)
    worker.on_pending("a", 0, 0.0, None)
    version = worker.version
    status = report(sequence=2)
    status.emitted = 5
    assert not worker.on_status(status, 1.9)
    assert worker.version == version
    assert worker.hesitant(3.5) == ("", 3.9)
    worker.on_status(report(sequence=3), 3.5)
    assert worker.hesitant(4.8) == ("", 4.9)
    assert worker.hesitant(4.9)[0] == "stalled"


def test_a_worker_whose_health_service_says_no_takes_nothing() -> None:
    worker = _worker()
    worker.on_checked(False)
    worker.on_status(report(), 0.0)
    assert not worker.serving
    worker.on_checked(True)
    assert worker.serving
    worker.on_lost()
    worker.on_checked(False)
    worker.on_checked(True)
    assert not worker.serving, "it has to report as well"
