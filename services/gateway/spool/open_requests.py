"""What is known of each request that is under way, kept where the death of this process does not reach it."""

import dataclasses
import json
import pathlib
import struct
import time
from collections.abc import Iterable
from typing import TypeVar

import structlog
from google.protobuf.message import DecodeError, Message
from hybridinference.gateway.v1 import ledger_pb2 as ledger

from services.gateway.spool.segments import DEAD_DIRECTORY
from services.gateway.spool.slots import Found, Piece, Slot, Slots, UnknownFormat

LOG = structlog.get_logger()

M = TypeVar("M", bound=Message)

# A request with one attempt, why it went there, and its end takes some 2,600 bytes; one that has to be moved costs 50
# µs more. One with attempts and decisions as large as they get takes some 30 KiB.
_SMALL, _LARGE = (4 << 10, 256), (64 << 10, 4)
_REQUEST, _ATTEMPT, _BOTH, _WHOLE = 1, 2, 3, 4  # kinds of pieces
_LENGTH = struct.Struct("<I")


@dataclasses.dataclass(frozen=True, slots=True)
class Left:
    """What an earlier process left of a request.

    Attributes:
        request: to be closed like any other.
        record: what was known of it.
        ended: whether that is its end, which may or may not be in the spool too.
        written_at: when it was last written, in seconds since 1970.
    """

    request: "OpenRequest"
    record: ledger.LedgerRecord
    ended: bool
    written_at: float


class OpenRequest:
    """A request's place. What is told of it adds to what was told before."""

    __slots__ = ("_owner", "_slot", "_slots")

    def __init__(self, owner: "OpenRequests", slots: Slots, slot: Slot) -> None:
        self._owner = owner
        self._slots = slots
        self._slot = slot

    def placed(self, request: ledger.RequestRecord, attempt: ledger.AttemptRecord) -> None:
        """The first attempt, and the request as it is known by then."""
        known = request.SerializeToString()
        self._add(_BOTH, _LENGTH.pack(len(known)) + known + attempt.SerializeToString())

    def tell(self, attempt: ledger.AttemptRecord) -> None:
        """A further attempt, or more of one that was told: its id, and fields that are new; no list twice."""
        self._add(_ATTEMPT, attempt.SerializeToString())

    def ended(self, record: bytes) -> None:
        """The request has ended: its whole record, serialized."""
        self._add(_WHOLE, record)

    def close(self) -> None:
        """Its record is on disk: forget it."""
        self._slots.free(self._slot)

    def _add(self, kind: int, payload: bytes) -> None:
        if not self._slots.add(self._slot, kind, payload):
            self._slots, self._slot = self._owner.moved(self._slots, self._slot, Piece(kind, payload))


class OpenRequests:
    """The open requests of a spool, in files in its directory."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._sizes = tuple(
            Slots(directory / f"open-{size >> 10}k.slots", slot_bytes=size, grow_slots=slots)
            for size, slots in (_SMALL, _LARGE)
        )

    @property
    def count(self) -> int:
        """How many are open."""
        return sum(slots.in_use for slots in self._sizes)

    def begin(self, request: ledger.RequestRecord) -> OpenRequest:
        """Keep a request.

        Raises:
            OSError: there is no room on the disk.
        """
        slots, slot = self._taken(Piece(_REQUEST, request.SerializeToString()))
        return OpenRequest(self, slots, slot)

    def left(self) -> list[Left]:
        """What earlier processes left, oldest first. What cannot be read is put aside, and told of.

        Raises:
            OSError: the directory cannot be used.
        """
        newest: dict[str, tuple[int, Left]] = {}
        for slots in self._sizes:
            for found in self._found(slots):
                record, ended = merged(found.pieces)
                if found.damaged or not record.request.generation_id:
                    self._put_aside(slots, found)
                request = OpenRequest(self, slots, found.slot)
                generation_id = record.request.generation_id
                if not generation_id:
                    request.close()
                    continue
                other = newest.get(generation_id)
                if other is not None and other[0] > found.slot.use:
                    request.close()
                    continue
                if other is not None:  # killed while it was moved
                    other[1].request.close()
                newest[generation_id] = (found.slot.use, Left(request, record, ended, found.written_at / 1e9))
        return [left for _, left in sorted(newest.values(), key=lambda one: one[0])]

    def moved(self, slots: Slots, slot: Slot, piece: Piece) -> tuple[Slots, Slot]:
        """Where a request is once all of it is written anew, since one more piece did not fit.

        What fits nowhere, or finds no room on the disk, is left out: what was told before it stays.
        """
        record, ended = merged((*slots.pieces(slot), piece))
        pieces = [Piece(_WHOLE, record.SerializeToString())] if ended else list(_pieces(record))
        try:
            new, into = self._taken(*pieces)
        except (OSError, ValueError) as error:
            LOG.warning("spool.open_request_not_kept", error=str(error))
            return slots, slot
        slots.free(slot)
        return new, into

    def close(self) -> None:
        """Let go of the files."""
        for slots in self._sizes:
            slots.close()

    def _taken(self, first: Piece, *more: Piece) -> tuple[Slots, Slot]:
        for slots in self._sizes:
            if slots.fits(len(first.payload)):
                slot = slots.take(first.kind, first.payload)
                if all(slots.add(slot, piece.kind, piece.payload) for piece in more):
                    return slots, slot
                slots.free(slot)
        size = sum(len(piece.payload) for piece in (first, *more))
        raise ValueError(f"a request whose record so far has {size} bytes")

    def _found(self, slots: Slots) -> list[Found]:
        try:
            return slots.found()
        except UnknownFormat as error:
            path = slots.path.rename(self._dead() / f"{time.time_ns()}-{slots.path.name}")
            LOG.error("spool.open_requests_refused", error=str(error), file=str(path))
            return []

    def _put_aside(self, slots: Slots, found: Found) -> None:
        """Keep a damaged slot as it is: nothing is silently gone."""
        path = self._dead() / f"{time.time_ns()}-{slots.path.stem}-{found.slot.start}.slot"
        path.write_bytes(slots.raw(found.slot))
        reason = "an open request's slot was changed on disk; what could be read of it is in the ledger"
        path.with_suffix(".json").write_text(json.dumps({"reason": reason, "pieces": len(found.pieces)}) + "\n")
        LOG.error("spool.open_request_damaged", file=path.name, pieces=len(found.pieces))

    def _dead(self) -> pathlib.Path:
        dead = self._directory / DEAD_DIRECTORY
        dead.mkdir(mode=0o700, exist_ok=True)
        return dead


def merged(pieces: Iterable[Piece]) -> tuple[ledger.LedgerRecord, bool]:
    """What pieces amount to, and whether that is the request's end. What cannot be read says nothing."""
    record = ledger.LedgerRecord()
    attempts: dict[str, ledger.AttemptRecord] = {}
    for piece in pieces:
        if piece.kind == _WHOLE:
            if (whole := _parsed(ledger.LedgerRecord(), piece.payload)) is not None:
                return whole, True
            continue
        known, told = _split(piece)
        if known and (request := _parsed(ledger.RequestRecord(), known)) is not None:
            record.request.CopyFrom(request)
        if told and (attempt := _parsed(ledger.AttemptRecord(), told)) is not None:
            attempts.setdefault(attempt.attempt_id, ledger.AttemptRecord()).MergeFrom(attempt)
    record.attempts.extend(attempts.values())
    return record, False


def _split(piece: Piece) -> tuple[bytes, bytes]:
    """The request's part of a piece, and the attempt's."""
    payload = piece.payload
    if piece.kind != _BOTH:
        return (payload, b"") if piece.kind == _REQUEST else (b"", payload)
    end = _LENGTH.size + _LENGTH.unpack_from(payload)[0]
    return payload[_LENGTH.size : end], payload[end:]


def _pieces(record: ledger.LedgerRecord) -> Iterable[Piece]:
    yield Piece(_REQUEST, record.request.SerializeToString())
    for attempt in record.attempts:
        yield Piece(_ATTEMPT, attempt.SerializeToString())


def _parsed(message: M, data: bytes) -> M | None:
    try:
        message.ParseFromString(data)
    except DecodeError:
        return None
    return message
