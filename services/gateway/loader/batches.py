"""What is to be loaded, in batches, each with its rows."""

import asyncio
import dataclasses
import pathlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from services.gateway.loader.reader import read_chunk
from services.gateway.loader.rows import Rows, parse
from services.gateway.loader.values import RecordInvalid
from services.gateway.spool.framing import Damage, Frame
from services.gateway.spool.segments import Segment

_DAY_SECONDS = 86_400
# Rows are made while the database takes those before them: its answers wait for no more than so many, some 3 ms.
_AT_ONCE = 32


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A segment, and the directory that it is in."""

    directory: pathlib.Path
    segment: Segment


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A piece of a segment, and its rows where it has any."""

    piece: Frame | Damage
    rows: Rows | None


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one segment that follow one another; at least one."""

    place: Place
    entries: Sequence[Entry]

    @property
    def start(self) -> int:
        """Where its first piece begins."""
        return self.entries[0].piece.start

    @property
    def end(self) -> int:
        """Where its last piece ends."""
        return self.entries[-1].piece.end

    def halves(self) -> "tuple[Batch, Batch]":
        """Two batches in its stead; of at least two entries."""
        middle = len(self.entries) // 2
        return Batch(self.place, self.entries[:middle]), Batch(self.place, self.entries[middle:])


# What to do with a piece that can never become rows, and why it cannot.
Bury = Callable[[Place, Frame | Damage, str], None]


async def batches(places: Iterable[tuple[Place, int]], bury: Bury) -> AsyncIterator[Batch]:
    """All that segments had after their positions when they were looked at, in order.

    What has come since waits for the next look, so that records which come one by one are loaded many at a time.
    """
    for place, loaded in places:
        position = loaded
        while position < place.segment.size and (chunk := read_chunk(place.directory, place.segment, position)):
            yield Batch(place, await _entries(place, chunk, bury))
            position = chunk[-1].end


async def _entries(place: Place, chunk: Sequence[Frame | Damage], bury: Bury) -> list[Entry]:
    today = int(time.time()) // _DAY_SECONDS
    entries = []
    for number, piece in enumerate(chunk, 1):
        entries.append(_entry(place, piece, today, bury))
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return entries


def _entry(place: Place, piece: Frame | Damage, today: int, bury: Bury) -> Entry:
    try:
        if isinstance(piece, Frame):
            return Entry(piece, parse(piece.payload, today))
        bury(place, piece, "no whole record: cut, or changed on disk")
    except RecordInvalid as error:
        bury(place, piece, str(error))
    return Entry(piece, None)
