"""The files of a spool: segments that are written once, in order, and deleted when they are loaded."""

import dataclasses
import fcntl
import os
import pathlib
import secrets
import time
import uuid
from collections.abc import Iterator

OPEN, CLOSED = ".open", ".segment"
# Holds the spool's id, and the lock of its one writer.
ID_FILE = "spool.id"
# Holds the lock of its one loader.
LOADER_FILE = "loader.lock"
# Records that the database refused, and bytes that are no records.
DEAD_DIRECTORY = "dead"


class SpoolTaken(Exception):
    """Another process writes, or loads, this spool."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file, as found in the directory. Names sort by age and never come again."""

    name: str
    closed: bool
    size: int

    def path(self, directory: pathlib.Path) -> pathlib.Path:
        """Where the file is."""
        return directory / (self.name + (CLOSED if self.closed else OPEN))

    def created(self) -> float:
        """When it was begun, in seconds since the epoch."""
        return int(self.name.partition("-")[0]) / 1e9


def new_name(now_ns: int, token: str) -> str:
    """A segment's name; `token` keeps it unique when the clock is set back."""
    return f"{now_ns:020d}-{token}"


def segments(directory: pathlib.Path) -> list[Segment]:
    """The segments of a spool, oldest first. Empty when there is no such directory."""
    try:
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return []
    # A directory read while a segment is renamed may show it under both names: closed is the later one.
    return sorted({segment.name: segment for segment in sorted(_found(entries))}.values())


def _found(entries: list[os.DirEntry[str]]) -> Iterator[Segment]:
    for entry in entries:
        name, suffix = pathlib.PurePath(entry.name).stem, pathlib.PurePath(entry.name).suffix
        if suffix not in (OPEN, CLOSED) or not name.partition("-")[0].isdigit():
            continue
        try:
            size = entry.stat().st_size
        except FileNotFoundError:  # closed, or loaded and deleted, since the directory was read
            continue
        yield Segment(name, suffix == CLOSED, size)


def close_left_open(directory: pathlib.Path) -> None:
    """Close what a writer that died left open. Only the holder of the writer's lock may."""
    for segment in segments(directory):
        if not segment.closed:
            path = segment.path(directory)
            path.rename(path.with_suffix(CLOSED))


def lock(path: pathlib.Path, *, role: str) -> int:
    """Take a file's lock and return its descriptor; the lock goes when that is closed, or the process dies.

    Raises:
        SpoolTaken: another process has it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SpoolTaken(f"{path.parent}: another {role} has this spool; each spool has one {role}") from error
    return descriptor


def identified(descriptor: int) -> str:
    """The id in a locked `ID_FILE`, made on first use."""
    text = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip()
    if valid_id(text):
        return text
    text = str(uuid.uuid4())
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{text}\n".encode(), 0)
    os.fsync(descriptor)
    return text


def valid_id(text: str) -> bool:
    """Whether a text is a spool's id."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def sync_directory(directory: pathlib.Path) -> None:
    """Make the directory's entries durable: a new file's data is lost with its name."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class SegmentFile:
    """The segment that is being written. `size` is what is known to be on disk."""

    def __init__(self, path: pathlib.Path, descriptor: int) -> None:
        self.size = 0
        self.begun_at = time.monotonic()
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def begun(cls, directory: pathlib.Path) -> "SegmentFile":
        """A new, empty one."""
        path = directory / (new_name(time.time_ns(), secrets.token_hex(4)) + OPEN)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            sync_directory(directory)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return cls(path, descriptor)

    def append(self, data: bytes) -> None:
        """Write, and wait until it is on disk."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        os.fdatasync(self._descriptor)
        self.size += len(data)

    def take_back(self) -> None:
        """Cut off what is not known to be on disk."""
        os.ftruncate(self._descriptor, self.size)

    def close(self) -> None:
        """Nothing more will come: give it its last name, or remove it when it is empty."""
        os.close(self._descriptor)
        if self.size:
            self._path.rename(self._path.with_suffix(CLOSED))
        else:
            self._path.unlink()
