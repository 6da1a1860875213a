"""Channels to workers for calls of their own: beside a session, whose stream a large answer would hold up."""

import contextlib
from collections.abc import AsyncIterator

import grpc

from services.chassis.channel import open_channel


class Channels:
    """One channel for each worker's address, opened when it is first asked for."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def to(self, address: str) -> grpc.aio.Channel:
        """The channel to a worker.

        One that could not connect is replaced: it would wait before it looks for a worker that may be back by now.
        """
        channel = self._channels.get(address)
        if channel is not None and channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            del self._channels[address]
            await channel.close()
            channel = self._channels.get(address)  # somebody else may have opened another meanwhile
        if channel is None:
            channel = self._channels[address] = open_channel(address)
        return channel

    async def close(self) -> None:
        """Close every channel, and end the calls on them."""
        for channel in self._channels.values():
            await channel.close()


@contextlib.asynccontextmanager
async def open_channels() -> AsyncIterator[Channels]:
    """The channels of a gateway, closed when the context ends."""
    channels = Channels()
    try:
        yield channels
    finally:
        await channels.close()
