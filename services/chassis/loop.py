"""How a process runs: on uvloop's loop, woken once for all that gRPC has done, and with few collections of garbage."""

import functools
import gc
import socket
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # its stubs leave this out

from services.chassis import scheduling

_T = TypeVar("_T")
# gRPC's own; one that names it otherwise has its wake-ups taken one by one.
_QUEUE: Any = getattr(cygrpc, "PollerCompletionQueue", ())
# A byte for each operation that has ended. More than this are taken in two turns; as much fits a small object, which
# Python has in stock.
_MANY = 256
# Objects made and not freed that bring a collection; Python's own 700 are a dozen requests under way.
_COLLECT_AFTER = 10_000


class _Emptied(socket.socket):
    """A socket that gives what it has, however little is asked for."""

    __slots__ = ()

    def recv(self, size: int, flags: int = 0) -> bytes:
        return super().recv(max(size, _MANY), flags)


class Loop(uvloop.Loop):
    """uvloop's loop.

    gRPC writes a byte into a pair of sockets for each operation that ends, and its reader takes one byte, and every
    operation that has ended by then. Where several end together, each byte that is left costs a turn of the loop and
    two system calls, for nothing. Here the first turn takes them all.
    """

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:  # type: ignore[override]
        """As uvloop's."""
        if _is_of_grpc(callback) and type(fd) is socket.socket:
            fd.__class__ = _Emptied
        super().add_reader(fd, callback, *args)


def run(main: Coroutine[Any, Any, _T], *, patient: bool) -> _T:
    """Run a process's main coroutine to its end.

    What was imported by then stays for good, so that the garbage collector need not go through it again and again. It
    goes through what is imported later, such as a worker's provider.

    Args:
        main: it.
        patient: whether it lets whatever wakes it go on, see `services.chassis.scheduling`.
    """
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    scheduling.be_patient(patient)
    return uvloop.run(main, loop_factory=Loop)


def _is_of_grpc(callback: Callable[..., Any]) -> bool:
    handler = callback.func if isinstance(callback, functools.partial) else callback
    return isinstance(getattr(handler, "__self__", None), _QUEUE)
