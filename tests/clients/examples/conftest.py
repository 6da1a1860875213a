"""The examples are run as a reader would run them: in a shell, before a mesh that `make demo` starts."""

import dataclasses
import datetime
import os
import pathlib
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.clients.programs import started
from tests.mesh.driver import ROOT, Mesh, mesh, wait_until

DEMO = ROOT / "infrastructure" / "config" / "demo.yaml"


@dataclasses.dataclass
class Said:
    """What a program printed, and how much of it was there after each time that something was."""

    text: str
    lengths: list[int]

    def lines(self, name: str) -> list[str]:
        """What follows `name: ` on the lines that begin so."""
        return [line.removeprefix(f"{name}: ") for line in self.text.splitlines() if line.startswith(f"{name}: ")]

    def sections(self) -> dict[str, str]:
        """What follows each line that begins with `# `."""
        parts = re.split(r"^# (.+)\n", self.text, flags=re.MULTILINE)[1:]
        return {heading: text.strip() for heading, text in zip(parts[::2], parts[1::2], strict=True)}

    def pieces(self, first: str, last: str) -> int:
        """How often something new was there, from `first` to the end of `last`."""
        begin = self.text.index(first)
        end = self.text.index(last, begin) + len(last)
        return len({min(length, end) for length in self.lengths if length > begin})


Run = Callable[..., Said]


@pytest.fixture(scope="session")
def demo() -> Iterator[Mesh]:
    """The mesh. It is not harmed, and its workers' pace is a word every 100 ms: a slow reader still sees words come."""
    config = DEMO.read_text(encoding="utf-8")
    assert " token_ms: 20\n" in config
    assert (ROOT / "build/contracts/hybridinference.binpb").exists(), "not there: run `make contracts`"
    with mesh(config.replace(" token_ms: 20\n", " token_ms: 100\n")) as up:
        yield up


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs a program from the top of the repository; what it prints is read as it comes."""

    def run(*command: str | pathlib.Path, seconds: float = 60.0, environment: Mapping[str, str] | None = None) -> Said:
        tools = pathlib.Path(sys.executable).parent  # grpcurl, buf
        own = {key: value for key, value in os.environ.items() if key in ("HOME", "LANG", "TMPDIR")}
        surroundings = {**own, "PATH": f"{tools}:{os.environ['PATH']}", **(environment or {})}
        said, lengths = b"", []
        until = time.monotonic() + seconds
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with started(command, cwd=ROOT, env=surroundings, **pipes) as process:
            assert process.stdout
            while True:
                readable, _, _ = select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))
                assert readable, f"not within {seconds} s: {said.decode(errors='replace')}"
                piece = os.read(process.stdout.fileno(), 1 << 16)
                if not piece:
                    break
                said += piece
                lengths.append(len(said.decode(errors="ignore")))
            code = process.wait(seconds)
        assert code == 0, said.decode()
        return Said(said.decode(), lengths)

    return run


class Ledger:
    """The rows of one mesh that came after a moment."""

    def __init__(self, demo: Mesh) -> None:
        self._demo = demo
        self._since = datetime.datetime.now(datetime.UTC)

    def outcomes(self, number: int) -> list[tuple[str, str, bool]]:
        """API, outcome, and whether it was streamed, of the first requests since then, once so many are there."""
        found: list[dict[str, object]] = []

        def there() -> bool:
            rows = self._demo.requests()
            found[:] = [row for row in rows if datetime.datetime.fromisoformat(row["received_at"]) >= self._since]
            return len(found) >= number

        wait_until(there, seconds=30)
        return [(str(row["api"]), str(row["outcome"]), bool(row["streamed"])) for row in reversed(found)]


@pytest.fixture
def ledger(demo: Mesh) -> Ledger:
    return Ledger(demo)
