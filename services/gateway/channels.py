"""Channels for calls of their own: to workers beside a session, which a large answer would hold up; to gateways."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import grpc

from services.chassis.channel import open_channel
from services.chassis.credentials import Credentials
from services.chassis.roles import Role
from services.gateway.session import stopping


@dataclasses.dataclass(slots=True)
class _Line:
    """A channel, and the scopes of the calls that are under way on it."""

    channel: grpc.aio.Channel
    calls: set[asyncio.Timeout] = dataclasses.field(default_factory=set)


class Channels:
    """One channel for each address, opened when it is first asked for."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        """`credentials`: what proves the gateway to those it calls, on other addresses than unix sockets."""
        self._credentials = credentials
        self._lines: dict[str, _Line] = {}
        self._interrupted = False

    @contextlib.asynccontextmanager
    async def to(self, address: str, role: Role) -> AsyncIterator[grpc.aio.Channel]:
        """The channel to a process of that role, for one call.

        One that could not connect is replaced: it would wait before it looks for a worker that may be back by now. But
        not under a call: a worker that stops listens no more while it finishes what it has begun.

        Raises:
            Failure: the gateway stops.
        """
        if self._interrupted:
            raise stopping()
        line = self._lines.get(address)
        if line and not line.calls and line.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            del self._lines[address]
            await line.channel.close()
            line = self._lines.get(address)  # somebody else may have opened another meanwhile
        if line is None:
            line = self._lines[address] = _Line(open_channel(address, role, self._credentials))
        call = asyncio.timeout(None)
        line.calls.add(call)
        try:
            async with call:
                yield line.channel
        except TimeoutError as error:
            if not call.expired():
                raise
            raise stopping() from error
        finally:
            line.calls.discard(call)

    def interrupt(self) -> None:
        """The gateway stops: end every call, so that callers are told, and begin no other."""
        self._interrupted = True
        now = asyncio.get_running_loop().time()
        for line in self._lines.values():
            for call in line.calls:
                call.reschedule(now)

    async def close(self) -> None:
        """Close every channel, and end the calls on them."""
        for line in self._lines.values():
            await line.channel.close()


@contextlib.asynccontextmanager
async def open_channels(credentials: Credentials | None = None) -> AsyncIterator[Channels]:
    """The channels of a gateway, closed when the context ends."""
    channels = Channels(credentials)
    try:
        yield channels
    finally:
        await channels.close()
