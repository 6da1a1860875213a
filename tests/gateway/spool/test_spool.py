"""The spool: nothing that was taken is lost, and nobody waits for the disk."""

import asyncio
import contextlib
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import AsyncIterator

import pytest
from hybridinference.gateway.v1 import ledger_pb2
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from prometheus_client import CollectorRegistry

from services.chassis.failure import Failure
from services.gateway.spool.framing import frame
from services.gateway.spool.kept import keep
from services.gateway.spool.open_requests import OpenRequests
from services.gateway.spool.segments import CLOSED, OPEN, SpoolTaken, segments
from services.gateway.spool.spool import Spool, open_spool
from services.gateway.spool.writer import WritePolicy
from tests.gateway.loader.records import record, spooled, write_segment
from tests.gateway.loader.waiting import eventually
from tests.gateway.spool.disk import disk_full_at

ROOT = pathlib.Path(__file__).parents[3]
QUICK = WritePolicy(retry_seconds=0.02, survey_seconds=0.02, calm_survey_seconds=0.02)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@contextlib.asynccontextmanager
async def opened(
    directory: pathlib.Path, *, max_bytes: int = 1 << 30, policy: WritePolicy | None = None
) -> AsyncIterator[Spool]:
    async with open_spool(directory, registry=CollectorRegistry(), max_bytes=max_bytes, policy=policy) as spool:
        yield spool


def accepts(spool: Spool, *, strict: bool = True) -> bool:
    try:
        spool.check(strict=strict)
    except Failure:
        return False
    return True


async def test_a_record_is_on_disk_once_flushed(tmp_path: pathlib.Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        for _ in range(3):
            taken = record()
            spool.append(taken)
            await spool.flushed()
            assert spooled(tmp_path / "spool")[-1] == taken


async def test_records_keep_their_order_over_segments_and_restarts(tmp_path: pathlib.Path) -> None:
    taken = [record() for _ in range(60)]
    for part in (taken[:30], taken[30:]):
        async with opened(tmp_path, policy=WritePolicy(segment_bytes=2000, group_seconds=0, group_bytes=500)) as spool:
            for one in part:
                spool.append(one)
                await spool.flushed()
    assert spooled(tmp_path) == taken
    assert len(segments(tmp_path)) > 6
    assert all(segment.closed for segment in segments(tmp_path))


async def test_leaving_writes_what_was_not_flushed(tmp_path: pathlib.Path) -> None:
    taken = [record() for _ in range(2000)]
    async with opened(tmp_path) as spool:
        for one in taken:
            spool.append(one)
    assert spooled(tmp_path) == taken


async def test_records_that_come_together_share_a_sync(tmp_path: pathlib.Path, registry: CollectorRegistry) -> None:
    async with open_spool(tmp_path, registry=registry, policy=WritePolicy(group_seconds=0.2)) as spool:
        spool.append(record())
        await spool.flushed()
        for _ in range(1000):  # more than the 256 KiB of one group
            spool.append(record())
        await spool.flushed()
        assert registry.get_sample_value("hybrid_spool_records_total") == 1001
        syncs = registry.get_sample_value("hybrid_spool_syncs_total")
        assert syncs is not None
        assert 2 < syncs < 10


async def test_a_quiet_segment_is_closed_so_that_it_can_be_deleted(tmp_path: pathlib.Path) -> None:
    policy = WritePolicy(segment_seconds=0.01, calm_survey_seconds=0.01)
    async with opened(tmp_path, policy=policy) as spool:
        spool.append(record())
        await spool.flushed()
        await eventually(lambda: all(segment.closed for segment in segments(tmp_path)))


async def test_a_spool_has_one_writer(tmp_path: pathlib.Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(SpoolTaken, match="another gateway"):
            async with opened(tmp_path):
                pass
    async with opened(tmp_path):
        pass


async def test_a_spool_keeps_its_id(tmp_path: pathlib.Path) -> None:
    async with opened(tmp_path) as spool:
        first = spool.spool_id
    async with opened(tmp_path) as spool:
        assert spool.spool_id == first


async def test_a_segment_that_a_dead_writer_left_open_is_closed_with_its_torn_tail(tmp_path: pathlib.Path) -> None:
    taken = record()
    torn = frame(record().SerializeToString())[:-7]
    left = write_segment(tmp_path, [taken.SerializeToString()], tail=torn, suffix=OPEN)
    async with opened(tmp_path) as spool:
        assert left.with_suffix(CLOSED).exists()
        spool.append(second := record())
        await spool.flushed()
        assert spooled(tmp_path) == [taken, second]


async def test_a_full_disk_refuses_requests_and_loses_nothing(tmp_path: pathlib.Path) -> None:
    taken = [record() for _ in range(5)]
    async with opened(tmp_path, policy=QUICK) as spool:
        spool.append(taken[0])
        await spool.flushed()
        written = segments(tmp_path)[0].size
        with disk_full_at(written + 100):
            for one in taken[1:]:
                spool.append(one)
            with pytest.raises(Failure) as raised:
                await spool.flushed()
            assert raised.value.reason == reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE
            assert not accepts(spool)
            spool.append(last := record())  # a request that was running
        await eventually(lambda: accepts(spool))
        await spool.flushed()
    assert spooled(tmp_path) == [*taken, last]
    # What was cut short was taken back.
    assert segments(tmp_path)[0].size == written


async def test_a_disk_that_stays_full_does_not_hold_up_the_end(tmp_path: pathlib.Path) -> None:
    with disk_full_at(50):
        async with opened(tmp_path, policy=QUICK) as spool:
            spool.append(record())
            with pytest.raises(Failure):
                await spool.flushed()
    assert spooled(tmp_path) == []
    assert segments(tmp_path) == []


async def test_a_full_spool_refuses_until_the_loader_has_made_room(tmp_path: pathlib.Path) -> None:
    policy = WritePolicy(segment_bytes=1000, segment_seconds=0.01, survey_seconds=0.01, calm_survey_seconds=1e6)
    async with opened(tmp_path, max_bytes=2000, policy=policy) as spool:
        spool.check(strict=True)
        for _ in range(10):
            spool.append(record())
        await spool.flushed()
        with pytest.raises(Failure) as raised:
            spool.check(strict=True)
        assert raised.value.reason == reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE
        assert raised.value.retry_after
        await eventually(lambda: all(segment.closed for segment in segments(tmp_path)))
        for segment in segments(tmp_path):
            segment.path(tmp_path).unlink()
        await eventually(lambda: accepts(spool))


async def test_after_one_refusal_room_is_looked_for_until_there_is_some(
    tmp_path: pathlib.Path, registry: CollectorRegistry
) -> None:
    policy = WritePolicy(
        segment_bytes=1000, segment_seconds=0.01, survey_seconds=0.01, lately_seconds=1e6, calm_survey_seconds=1e6
    )
    async with open_spool(tmp_path, registry=registry, max_bytes=2000, policy=policy) as spool:
        for _ in range(10):
            spool.append(record())
        await spool.flushed()
        assert not accepts(spool)
        await eventually(lambda: all(segment.closed for segment in segments(tmp_path)))
        await asyncio.sleep(0.1)  # what the refusal itself had looked for has been seen
        for segment in segments(tmp_path):
            segment.path(tmp_path).unlink()
        await eventually(lambda: registry.get_sample_value("hybrid_spool_bytes") == 0)


async def test_what_an_earlier_process_left_counts(tmp_path: pathlib.Path) -> None:
    write_segment(tmp_path, [record().SerializeToString() for _ in range(10)])
    async with opened(tmp_path, max_bytes=2000) as spool:
        assert not accepts(spool)


async def test_a_full_spool_serves_keys_that_are_not_strict_up_to_its_reserve(tmp_path: pathlib.Path) -> None:
    async with opened(tmp_path, max_bytes=4000) as spool:
        sizes: dict[bool, int] = {}
        while len(sizes) < 2:
            for strict in {True, False} - sizes.keys():
                if not accepts(spool, strict=strict):
                    sizes[strict] = segments(tmp_path)[0].size
            spool.append(record())
            await spool.flushed()
    assert 4000 <= sizes[True] < 5000 <= sizes[False]


async def test_contents_are_shed_before_anything_else_and_counted(
    tmp_path: pathlib.Path, registry: CollectorRegistry
) -> None:
    content = ledger_pb2.ContentRecord(generation_id="g", input="x" * 400)

    def shed() -> float | None:
        return registry.get_sample_value("hybrid_spool_content_shed_total")

    async with open_spool(tmp_path, registry=registry, max_bytes=2000) as spool:
        for _ in range(2):
            assert spool.append_content(content, strict=False)
        spool.append(record())
        await spool.flushed()
        assert segments(tmp_path)[0].size > 1000
        assert not spool.append_content(content, strict=False)
        assert shed() == 1
        for _ in range(2):
            assert spool.append_content(content, strict=True)
        await spool.flushed()
        assert not spool.append_content(content, strict=True)
        assert shed() == 2
        spool.append(record())
    kinds = [(one.HasField("content"), one.HasField("request")) for one in spooled(tmp_path)]
    assert kinds == [(True, False)] * 2 + [(False, True)] + [(True, False)] * 2 + [(False, True)]


async def test_contents_are_shed_while_the_disk_fails(tmp_path: pathlib.Path) -> None:
    async with opened(tmp_path, policy=QUICK) as spool:
        with disk_full_at(10):
            spool.append(record())
            with pytest.raises(Failure):
                await spool.flushed()
            assert not spool.append_content(ledger_pb2.ContentRecord(input="x"), strict=True)


async def test_a_price_table_is_a_record_of_its_own(tmp_path: pathlib.Path) -> None:
    async with opened(tmp_path) as spool:
        spool.append_prices(table := ledger_pb2.PriceTable(version="v"))
    assert spooled(tmp_path) == [ledger_pb2.LedgerRecord(prices=table)]


async def test_a_request_is_open_until_its_record_is_on_disk(
    tmp_path: pathlib.Path, registry: CollectorRegistry
) -> None:
    def told() -> float | None:
        return registry.get_sample_value("hybrid_spool_open_requests")

    async with open_spool(tmp_path, registry=registry, policy=QUICK) as spool:
        one = record()
        kept = spool.opened(one.request)
        with disk_full_at(10):
            spool.append(one, ends=kept)
            with pytest.raises(Failure):
                await spool.flushed()
            spool.opened(record().request).close()
            assert told() == 1
            assert [left.record for left in OpenRequests(tmp_path).left()] == [one]
        await eventually(lambda: accepts(spool))
        await spool.flushed()
        assert told() == 0
        spool.opened(record().request).close()  # the next request closes what is on disk
        assert OpenRequests(tmp_path).left() == []
    assert spooled(tmp_path) == [one]


async def test_what_could_not_be_written_at_a_stop_is_written_at_the_next_start(tmp_path: pathlib.Path) -> None:
    one = record()
    async with opened(tmp_path, policy=QUICK) as spool:
        kept = spool.opened(one.request)
        with disk_full_at(10):
            spool.append(one, ends=kept)
            await spool.close(seconds=10)
    assert spooled(tmp_path) == []
    async with opened(tmp_path) as spool:
        (left,) = spool.left
        assert (left.record, left.ended) == (one, True)
        spool.append(left.record, ends=left.request)
    assert spooled(tmp_path) == [one]
    async with opened(tmp_path) as spool:
        assert spool.left == []


async def test_a_request_that_cannot_be_kept_is_refused(tmp_path: pathlib.Path) -> None:
    async with opened(tmp_path) as spool:
        with disk_full_at(10), pytest.raises(Failure) as raised:
            spool.opened(record().request)
        assert raised.value.reason == reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE


async def test_a_disk_that_does_not_answer_is_not_waited_for_for_ever(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, sync = threading.Event(), os.fdatasync

    def slow_sync(descriptor: int) -> None:
        answers.wait(30)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow_sync)
    async with opened(tmp_path) as spool:
        spool.append(record())
        try:
            with pytest.raises(Failure, match="does not answer"):
                await spool.flushed(seconds=0.02)
        finally:
            answers.set()


async def test_who_waits_for_the_disk_does_not_wait_for_the_group(tmp_path: pathlib.Path) -> None:
    policy = WritePolicy(group_seconds=3600.0)
    async with opened(tmp_path, policy=policy) as spool, asyncio.timeout(20):
        for number in range(5):
            spool.append(record())
            await spool.flushed()
            assert len(spooled(tmp_path)) == number + 1


async def test_loaded_segments_do_not_count(tmp_path: pathlib.Path) -> None:
    write_segment(tmp_path, [record().SerializeToString() for _ in range(10)])
    keep(tmp_path, segments(tmp_path)[0], loaded_at=0.0)
    async with opened(tmp_path, max_bytes=2000) as spool:
        assert accepts(spool)


async def test_metrics_tell_of_the_backlog(tmp_path: pathlib.Path, registry: CollectorRegistry) -> None:
    async with open_spool(tmp_path, registry=registry) as spool:
        assert registry.get_sample_value("hybrid_spool_bytes") == 0
        assert registry.get_sample_value("hybrid_spool_oldest_seconds") == 0
        spool.append(record())
        await spool.flushed()
        assert registry.get_sample_value("hybrid_spool_bytes") == segments(tmp_path)[0].size
        age = registry.get_sample_value("hybrid_spool_oldest_seconds")
        assert age is not None
        assert 0 < age < 60
        assert registry.get_sample_value("hybrid_spool_unwritten_records") == 0


async def test_a_waiter_that_gives_up_leaves_the_others(tmp_path: pathlib.Path) -> None:
    async with opened(tmp_path) as spool:
        spool.append(record())
        async with asyncio.TaskGroup() as group:
            impatient = group.create_task(spool.flushed())
            patient = group.create_task(spool.flushed())
            await asyncio.sleep(0)
            impatient.cancel()
            await patient


_KILLED = """
import asyncio, pathlib, sys
from prometheus_client import CollectorRegistry
from services.gateway.spool.spool import open_spool
from tests.gateway.loader.records import record
from tests.gateway.loader.waiting import eventually

async def main():
    async with open_spool(pathlib.Path(sys.argv[1]), registry=CollectorRegistry()) as spool:
        while True:
            spool.append(one := record())
            await spool.flushed()
            print(one.request.generation_id, flush=True)

asyncio.run(main())
"""


def test_a_killed_writer_has_lost_nothing_it_had_flushed(tmp_path: pathlib.Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout
        flushed = [next(writer.stdout).strip() for _ in range(20)]
        writer.kill()
        flushed += writer.stdout.read().split()
    # The last line may have been cut by the kill.
    ids = [one.request.generation_id for one in spooled(tmp_path)]
    assert ids[: len(flushed) - 1] == flushed[:-1]
