"""An authority of the test's own, and files with what it signs."""

import contextlib
import datetime
import pathlib
import random
import socket

from services.chassis.credentials import Credentials, Files
from services.cli.authority import Pair, issue, make

DAY = datetime.timedelta(days=1)


def now():
    return datetime.datetime.now(datetime.UTC)


class Authority:
    """Signs; `pem` is its certificate."""

    def __init__(self) -> None:
        self.pair = make(now=now() - DAY, lasting=30 * DAY)
        self.pem = self.pair.certificate

    def sign(self, role, process, *, since=None, lasting=DAY) -> Pair:
        return issue(self.pair, role, process, now=since or now(), lasting=lasting)

    def write(self, directory: pathlib.Path, role, process, *, ca=None, **more) -> Files:
        """Put the files of a process there, each in one step."""
        files = Files(directory / "ca.pem", directory / f"{process}.pem", directory / f"{process}.key")
        pair = self.sign(role, process, **more)
        for path, content in ((files.ca, ca or self.pem), (files.certificate, pair.certificate), (files.key, pair.key)):
            put(path, content)
        return files

    def credentials(self, directory: pathlib.Path, role, process, **more) -> Credentials:
        return Credentials(self.write(directory, role, process, **more), role, process)


def put(path: pathlib.Path, content: bytes) -> None:
    """Replace a file in one step. For its user alone: it may be a key."""
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.replace(path)


def free_address() -> str:
    """An address of this host where nobody listens; below those ports that outgoing connections take."""
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return f"127.0.0.1:{port}"
