"""The event loop of a process: gRPC's wake-ups are taken together, and everything else is uvloop's."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
import uvloop

from services.chassis.loop import Loop, run

PATH = "/test.Echo/Say"
BEFORE = gc.get_threshold()[0]


@pytest.fixture(autouse=True)
def _collecting_as_before() -> Iterator[None]:
    """A process is run once; this one goes on."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class Watched(Loop):
    """Remembers its readers."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[tuple[Any, Callable[..., Any]]] = []

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:  # type: ignore[override]
        self.readers.append((fd, callback))
        super().add_reader(fd, callback, *args)


def test_all_of_grpcs_wake_ups_are_taken_at_once() -> None:
    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Watched)
        async with grpc.aio.insecure_channel("unix:/nowhere"):
            (of_grpc,) = [callback for _, callback in loop.readers]
        with contextlib.ExitStack() as held:
            here, there = socket.socketpair()
            held.enter_context(here)
            held.enter_context(there)
            there.send(b"111")
            loop.add_reader(here, of_grpc)
            loop.remove_reader(here)
            return here.recv(1)

    assert uvloop.run(main(), loop_factory=Watched) == b"111"


def test_what_others_read_is_left_as_it_is() -> None:
    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        here, there = socket.socketpair()
        with here, there:
            there.send(b"111")
            loop.add_reader(here, print)
            loop.remove_reader(here)
            return here.recv(1)

    assert run(main(), patient=False) == b"1"


def test_calls_that_end_together_all_get_their_answers() -> None:
    async def say(request: bytes, context: Any) -> bytes:
        return request

    async def main() -> list[bytes]:
        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(say)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Say": handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                call = channel.unary_unary(PATH)
                return await asyncio.gather(*(call(b"%d" % number) for number in range(100)))
        finally:
            await server.stop(None)

    assert run(main(), patient=False) == [b"%d" % number for number in range(100)]


def test_what_was_imported_before_is_no_business_of_the_garbage_collector() -> None:
    async def main() -> tuple[int, int]:
        return gc.get_freeze_count(), gc.get_threshold()[0]

    frozen, threshold = run(main(), patient=False)
    assert frozen > len(vars(asyncio))
    assert threshold > BEFORE
