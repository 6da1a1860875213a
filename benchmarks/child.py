"""A process of a measurement: it says `ready`, answers lines with JSON, and ends with its standard input."""

import asyncio
import contextlib
import json
import os
import pathlib
import selectors
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

from services.chassis import grpc_waits

ROOT = pathlib.Path(__file__).parents[1]
# Of a skeleton gRPC is what it is of a mesh.
ENVIRONMENT = {**grpc_waits.ENVIRONMENT, **os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/gen"}
_STOP_SECONDS = 5.0


class Child:
    """A running child, seen from its parent."""

    def __init__(self, process: "subprocess.Popen[bytes]", what: str) -> None:
        self.pid = process.pid
        self._process = process
        self._what = what

    def ask(self, line: str, *, seconds: float = 10.0) -> Any:
        """Say a line and return what the child answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()
        return json.loads(self.hear(seconds=seconds))

    def hear(self, *, seconds: float) -> bytes:
        """The next line of the child.

        Raises:
            RuntimeError: it says nothing, or ends.
        """
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if selector.select(seconds) else b""
        if not line:
            raise RuntimeError(f"{self._what} did not answer within {seconds:g} s, or has ended")
        return line


@contextlib.contextmanager
def child(module: str, *arguments: str, cwd: pathlib.Path | None = None, seconds: float = 20.0) -> Iterator[Child]:
    """Run `python -m module arguments` until the context ends; entered when it says that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with ended(process):
        started = Child(process, module)
        started.hear(seconds=seconds)
        yield started


@contextlib.contextmanager
def ended(process: "subprocess.Popen[bytes]", *, ask: bool = False) -> Iterator[None]:
    """End a process with the context: by the end of its standard input, or by a signal when it must be asked."""
    try:
        yield
    finally:
        if ask:
            process.terminate()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def commands() -> AsyncIterator[str]:
    """In the child: say `ready`, then the parent's lines, until it closes the pipe or is gone."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    answer("ready")
    while line := await reader.readline():
        yield line.decode().strip()


def answer(value: object) -> None:
    """In the child: answer the parent."""
    print(json.dumps(value), flush=True)
