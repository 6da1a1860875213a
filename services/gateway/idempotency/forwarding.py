"""Which of several gateways runs a named request, and how another one hands it on."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc

from services.chassis import status
from services.config.places import GatewayPlace
from services.gateway.channels import Channels
from services.gateway.idempotency.naming import home
from services.gateway.idempotency.transcript import Metadata

# Said between gateways alone: the edge takes it from callers.
MARK = "x-hybrid-forwarded"

_DETAILS = "grpc-status-details-bin"
# Of this connection, not of the call.
_OWN = ("user-agent", "content-type", "te", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", MARK)


class AwayError(Exception):
    """The gateway whose request it is cannot be reached, and has said nothing."""


class Forwarding:
    """The way to the other gateways."""

    def __init__(self, channels: Channels, own: str, places: Sequence[GatewayPlace]) -> None:
        self._channels = channels
        self._own = own
        self.reconfigure(places)

    def reconfigure(self, places: Sequence[GatewayPlace]) -> None:
        """These are the gateways from now on."""
        self._addresses: Mapping[str, str] = {place.name: place.address for place in places}
        self._names = tuple(self._addresses)

    def elsewhere(self, identity: bytes, metadata: Mapping[str, str | bytes]) -> str | None:
        """The address of the gateway that runs it; None where that is this one, or another one thought so."""
        if len(self._names) < 2 or MARK in metadata:
            return None
        name = home(identity, self._names)
        return None if name == self._own else self._addresses[name]

    async def hand_on(
        self,
        address: str,
        method: str,
        request: bytes,
        context: "grpc.aio.ServicerContext[Any, Any]",
        *,
        write: Callable[[bytes], Awaitable[None]] | None = None,
    ) -> bytes | None:
        """Have it answered there, and pass the answer on: of a stream each message to `write`, else the one as result.

        Raises:
            AwayError: it cannot be reached; nothing has been passed on.
            Failure: as it was told.
        """
        metadata = (*_passed_on(context.invocation_metadata() or ()), (MARK, self._own))
        timeout = context.time_remaining()
        begun = False
        answer: bytes
        async with self._channels.to(address, "gateway") as channel:
            # Bytes both ways: what is passed on is never parsed.
            make: Any = channel.unary_stream(method) if write else channel.unary_unary(method)
            call = make(request, metadata=metadata, timeout=timeout)
            try:
                if write is None:
                    answer = await call
                else:
                    async for message in call:
                        if not begun:
                            begun = True
                            await context.send_initial_metadata(tuple(await call.initial_metadata()))
                        await write(message)
                context.set_trailing_metadata(_passed_on(await call.trailing_metadata() or ()))
                return None if write else answer
            except grpc.aio.AioRpcError as error:
                trailers = tuple(error.trailing_metadata() or ())
                bare = not any(key == _DETAILS for key, _ in trailers)
                if not begun and bare and error.code() is grpc.StatusCode.UNAVAILABLE:
                    raise AwayError from error
                context.set_trailing_metadata(_passed_on(trailers))
                raise status.from_rpc_error(error) from error
            finally:
                call.cancel()  # grpc.aio never cancels a call that is merely dropped


def _passed_on(metadata: Any) -> Metadata:
    return tuple((key, value) for key, value in metadata if key not in _OWN and not key.startswith((":", "grpc-")))
