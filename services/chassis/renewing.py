"""A channel whose certificate is renewed: new calls go by the new one, running calls stay where they are."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from services.chassis.material import Material

Connect = Callable[[Material], grpc.aio.Channel]


class _Line:
    """A channel that was opened with one certificate, and how many calls are under way on it."""

    def __init__(self, material: Material, channel: grpc.aio.Channel) -> None:
        self.material = material
        self.channel = channel
        self.running = 0


class RenewingChannel(grpc.aio.Channel):
    """Looks like the channel that holds now. One that was before ends with the last call on it.

    gRPC's own credentials never change: what has expired would be shown at every reconnection.

    Args:
        current: what holds now.
        connect: opens a channel with it.
    """

    def __init__(self, current: Callable[[], Material], connect: Connect) -> None:
        self._current = current
        self._connect = connect
        material = current()
        self._line = _Line(material, connect(material))
        self._former: set[_Line] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "RenewingChannel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Close every channel that there is, and end the calls on them after `grace` seconds."""
        lines, self._former = (self._line, *self._former), set()
        await asyncio.gather(*(line.channel.close(grace) for line in lines), *self._closing)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """That of the channel that holds now."""
        return self._newest().channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait for the channel that holds now."""
        await self._newest().channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the channel that holds now is connected."""
        await self._newest().channel.channel_ready()

    def unary_unary(self, method: str, *coders: Any, **more: Any) -> Any:
        """As of any channel."""
        return self._method("unary_unary", method, coders, more)

    def unary_stream(self, method: str, *coders: Any, **more: Any) -> Any:
        """As of any channel."""
        return self._method("unary_stream", method, coders, more)

    def stream_unary(self, method: str, *coders: Any, **more: Any) -> Any:
        """As of any channel."""
        return self._method("stream_unary", method, coders, more)

    def stream_stream(self, method: str, *coders: Any, **more: Any) -> Any:
        """As of any channel."""
        return self._method("stream_stream", method, coders, more)

    def _method(self, kind: str, method: str, coders: tuple[Any, ...], more: dict[str, Any]) -> Callable[..., Any]:
        made: tuple[_Line, Any] | None = None

        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal made
            line = self._newest()
            if made is None or made[0] is not line:
                made = line, getattr(line.channel, kind)(method, *coders, **more)
            running = made[1](*arguments, **options)
            line.running += 1
            running.add_done_callback(lambda _: self._ended(line))
            return running

        return call

    def _newest(self) -> _Line:
        material = self._current()
        if material is not self._line.material:
            former, self._line = self._line, _Line(material, self._connect(material))
            self._former.add(former)
            self._let_go(former)
        return self._line

    def _ended(self, line: _Line) -> None:
        line.running -= 1
        self._let_go(line)

    def _let_go(self, line: _Line) -> None:
        if line in self._former and not line.running:
            self._former.discard(line)
            task = asyncio.get_running_loop().create_task(line.channel.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
