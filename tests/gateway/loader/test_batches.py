"""Batches: what there is at one look, however much comes meanwhile."""

import pathlib

from services.gateway.loader.batches import Batch, Place, batches
from services.gateway.spool.framing import Damage, Frame, frame
from services.gateway.spool.segments import OPEN, segments
from tests.gateway.loader.records import record, write_segment
from tests.gateway.loader.running import payloads


def nothing_is_buried(place: Place, piece: Frame | Damage, why: str) -> None:
    raise AssertionError(why)


async def test_records_that_come_while_others_are_loaded_wait_for_the_next_look(tmp_path: pathlib.Path) -> None:
    path = write_segment(tmp_path, payloads([record(), record()]), suffix=OPEN)

    async def looked(loaded: int) -> list[Batch]:
        found = []
        async for batch in batches([(Place(tmp_path, *segments(tmp_path)), loaded)], nothing_is_buried):
            found.append(batch)
            with path.open("ab") as file:
                file.write(b"".join(map(frame, payloads([record()]))))
        return found

    [first] = await looked(0)
    [second] = await looked(first.end)
    assert (len(first.entries), len(second.entries)) == (2, 1)
