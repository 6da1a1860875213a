"""Dead letters: what cannot be loaded, kept beside the spool with the reason."""

import json
import os
import pathlib

from services.gateway.loader.batches import Place
from services.gateway.loader.reader import read_raw
from services.gateway.spool.framing import Damage, Frame, frame
from services.gateway.spool.segments import DEAD_DIRECTORY, sync_directory


def bury(directory: pathlib.Path, place: Place, piece: Frame | Damage, reason: str) -> pathlib.Path:
    """Keep a piece of a segment in the spool at `directory`, durably, and return where.

    The same piece always goes to the same file, so that a replay buries nothing twice. A record is kept as it was
    framed: put into a segment again, it is loaded again.
    """
    dead = directory / DEAD_DIRECTORY
    dead.mkdir(mode=0o700, exist_ok=True)
    segment = place.segment
    if isinstance(piece, Frame):
        data = frame(piece.payload)
    else:
        data = read_raw(place.directory, segment, piece.start, piece.end)
    path = dead / f"{segment.name}-{piece.start:08d}.record"
    _write(path, data)
    about = {"segment": segment.name, "start": piece.start, "end": piece.end, "reason": reason}
    _write(path.with_suffix(".json"), json.dumps(about).encode() + b"\n")
    sync_directory(dead)
    return path


def _write(path: pathlib.Path, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
