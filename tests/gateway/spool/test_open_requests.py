"""What is known of requests under way: found again whoever died, and never wrongly."""

import json
import pathlib
import random

import pytest
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import generation_pb2 as generation

from benchmarks.records import records
from services.gateway.spool.open_requests import Left, OpenRequest, OpenRequests
from services.gateway.spool.segments import DEAD_DIRECTORY
from tests.gateway.loader.records import record, uuid7
from tests.gateway.spool.disk import disk_full_at


def request(user: str = "somebody") -> ledger.RequestRecord:
    made = ledger.RequestRecord(generation_id=uuid7(), api="openai", model="m", user=user, gateway_run=uuid7())
    made.received_at.FromSeconds(1_790_000_000)
    return made


def attempt(number: int = 1) -> ledger.AttemptRecord:
    made = record(attempts=1).attempts[0]
    made.number = number
    for ends in ("ended_at", "first_content_at", "usage", "outcome", "error_reason"):
        made.ClearField(ends)  # type: ignore[arg-type]
    return made


def progress(of: ledger.AttemptRecord, tokens: int) -> ledger.AttemptRecord:
    usage = generation.Usage(output_tokens=tokens, estimated=True)
    return ledger.AttemptRecord(attempt_id=of.attempt_id, usage=usage)


def found(directory: pathlib.Path) -> list[Left]:
    """What another process finds."""
    return OpenRequests(directory).left()


def test_each_request_is_found_with_all_that_was_told(tmp_path: pathlib.Path) -> None:
    keeping = OpenRequests(tmp_path)
    first, second = request(), request()
    keeping.begin(first)
    open_second = keeping.begin(second)
    second.estimated_input_tokens = 40
    second.prefix_hashes.extend((1, 2))
    tried, retried = attempt(1), attempt(2)
    open_second.placed(second, tried)
    more = ledger.AttemptRecord(attempt_id=tried.attempt_id, outcome=ledger.OUTCOME_ERROR, error_reason="WORKER_LOST")
    open_second.tell(more)
    open_second.tell(retried)
    open_second.tell(progress(retried, 64))
    open_second.tell(progress(retried, 128))
    one, two = found(tmp_path)
    assert (one.record.request, list(one.record.attempts), one.ended) == (first, [], False)
    tried.MergeFrom(more)
    retried.usage.CopyFrom(progress(retried, 128).usage)
    assert (two.record.request, list(two.record.attempts), two.ended) == (second, [tried, retried], False)
    assert 0 < one.written_at <= two.written_at


def test_an_end_is_found_as_it_was_written(tmp_path: pathlib.Path) -> None:
    keeping = OpenRequests(tmp_path)
    whole = record(attempts=2)
    keeping.begin(whole.request).ended(whole.SerializeToString())
    (left,) = found(tmp_path)
    assert (left.record, left.ended) == (whole, True)


def test_what_is_closed_is_not_found(tmp_path: pathlib.Path) -> None:
    keeping = OpenRequests(tmp_path)
    kept = [keeping.begin(request()) for _ in range(10)]
    for one in kept:
        one.close()
    assert (keeping.count, found(tmp_path)) == (0, [])


@pytest.mark.parametrize("candidates", [1, 20])
def test_what_outgrows_its_place_moves_to_another_one(tmp_path: pathlib.Path, candidates: int) -> None:
    """Checkpoints of a long stream fill a slot, which is then written anew; large decisions need a larger one."""
    keeping = OpenRequests(tmp_path)
    asked, tried = request(), attempt()
    for _ in range(candidates):
        tried.decision.candidates.add(worker="a worker with a long name" * 4, score=0.5)
    one = keeping.begin(asked)
    one.placed(asked, tried)
    for tokens in range(64, 64 * 2000, 64):
        one.tell(progress(tried, tokens))
    tried.usage.CopyFrom(progress(tried, tokens).usage)
    (left,) = found(tmp_path)
    assert list(left.record.attempts) == [tried]
    assert left.record.request == asked
    assert keeping.count == 1
    one.close()
    assert (keeping.count, found(tmp_path)) == (0, [])


def test_of_one_that_was_killed_while_it_moved_the_later_is_found(tmp_path: pathlib.Path) -> None:
    keeping = OpenRequests(tmp_path)
    asked, tried = request(), attempt()
    keeping.begin(asked)
    later = keeping.begin(asked)
    later.placed(asked, tried)
    (left,) = found(tmp_path)
    assert list(left.record.attempts) == [tried]
    assert left.request._owner.count == 1


def test_what_fits_nowhere_leaves_what_was_told_before(tmp_path: pathlib.Path) -> None:
    keeping = OpenRequests(tmp_path)
    asked, tried, huge = request(), attempt(1), attempt(2)
    huge.error_reason = "x" * 100_000
    one = keeping.begin(asked)
    one.placed(asked, tried)
    one.tell(huge)
    one.tell(progress(tried, 64))
    (left,) = found(tmp_path)
    assert [(told.attempt_id, told.usage.output_tokens) for told in left.record.attempts] == [(tried.attempt_id, 64)]


def test_without_room_on_the_disk_none_begins_and_those_that_run_are_kept(tmp_path: pathlib.Path) -> None:
    keeping = OpenRequests(tmp_path)
    asked, tried = request(), attempt()
    tried.error_reason = "x" * 3000  # to be moved to a file that is not there yet
    one = keeping.begin(asked)
    with disk_full_at(4096):
        one.placed(asked, tried)
        while keeping.count < 256:  # what there is room for
            keeping.begin(request())
        with pytest.raises(OSError, match="too large"):
            keeping.begin(request())
    assert len(found(tmp_path)) == 256
    keeping.begin(request())
    assert len(found(tmp_path)) == 257


def test_a_file_of_another_format_is_kept_aside_and_told_of(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keeping = OpenRequests(tmp_path)
    keeping.begin(request())
    (file,) = tmp_path.glob("*.slots")
    later = bytearray(file.read_bytes())
    for head in (0, 2048):
        later[head + 8] = 2  # the format's number
    file.write_bytes(later)
    again = OpenRequests(tmp_path)
    assert again.left() == []
    assert "spool.open_requests_refused" in capsys.readouterr().out
    (aside,) = (tmp_path / DEAD_DIRECTORY).iterdir()
    assert aside.read_bytes() == later
    again.begin(request())
    assert len(found(tmp_path)) == 1


def test_a_request_whose_one_attempt_is_explained_is_never_moved(tmp_path: pathlib.Path) -> None:
    keeping = OpenRequests(tmp_path)
    record = next(records(1))
    one = keeping.begin(record.request)
    one.placed(record.request, record.attempts[0])
    one.ended(record.SerializeToString())
    assert [path.name for path in tmp_path.glob("*.slots")] == ["open-4k.slots"]


def slot_of(one: OpenRequest) -> tuple[int, int]:
    return one._slot.start, one._slot.at


@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_bit_anywhere_costs_at_most_what_it_hit_and_is_told(tmp_path: pathlib.Path, seed: int) -> None:
    rng = random.Random(seed)
    keeping = OpenRequests(tmp_path)
    asked = [request(user=f"user {number}") for number in range(3)]
    tried = [attempt() for _ in asked]
    opened = [keeping.begin(one) for one in asked]
    for one, begun, first in zip(opened, asked, tried, strict=True):
        one.placed(begun, first)
        one.tell(progress(first, 64))
    (file,) = tmp_path.glob("*.slots")
    whole = file.read_bytes()
    begin, end = slot_of(opened[1])
    dead = tmp_path / DEAD_DIRECTORY
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.randrange(begin, end)] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        by_id = {left.record.request.generation_id: left.record for left in found(tmp_path)}
        for neighbour in (0, 2):
            assert by_id[asked[neighbour].generation_id].attempts[0].usage.output_tokens == 64
        mine = by_id.pop(asked[1].generation_id, None)
        assert len(by_id) == 2  # nothing that was never told
        used = [one.usage.output_tokens for one in mine.attempts] if mine else []
        intact = mine is not None and mine.request == asked[1] and used == [64]
        aside = list(dead.glob("*")) if dead.exists() else []
        assert intact or aside
        for path in aside:
            if path.suffix == ".json":
                assert "changed on disk" in json.loads(path.read_text())["reason"]
            else:
                assert path.read_bytes() == bytes(damaged[begin : begin + 4096])
            path.unlink()
