"""Channels to other processes of the mesh."""

import grpc

from services.chassis import links, roles
from services.chassis.credentials import Credentials, of_channel
from services.chassis.material import Material
from services.chassis.renewing import RenewingChannel
from services.chassis.roles import Role

# Within the mesh a peer that restarts should be found again in a fraction of a second, not after gRPC's two minutes.
_PAUSE_MS, _LONGEST_PAUSE_MS = 100, 1_000
_OPTIONS: list[tuple[str, int | str]] = [
    # Not a pause but how long connecting itself may take: a busy machine needs more than a moment.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    # A status with details travels in trailers; gRPC's own limit of 8 KiB would replace it with RESOURCE_EXHAUSTED.
    ("grpc.max_metadata_size", 64 << 10),
    ("grpc.absolute_max_metadata_size", 128 << 10),
    # One connection per channel: a pool shared between channels would share its backoff too.
    ("grpc.use_local_subchannel_pool", 1),
]


def open_channel(
    address: str,
    role: Role | None = None,
    credentials: Credentials | None = None,
    *,
    pause_ms: int = _PAUSE_MS,
    longest_pause_ms: int = _LONGEST_PAUSE_MS,
) -> grpc.aio.Channel:
    """A channel to `unix:PATH` or `HOST:PORT`. Use it as an async context manager.

    Args:
        address: whom to call.
        role: what has to be there, by its certificate; asked for with `credentials` alone.
        credentials: with them anything but a unix socket is called over TLS; running calls outlive a renewal.
        pause_ms: between two attempts to connect; grows with each.
        longest_pause_ms: so far.
    """
    options: list[tuple[str, int | str]] = [
        *_OPTIONS,
        ("grpc.initial_reconnect_backoff_ms", pause_ms),
        ("grpc.max_reconnect_backoff_ms", longest_pause_ms),
        *links.options(address),
    ]
    if address.startswith("unix:"):
        # The authority of a unix socket is its escaped path, which some servers refuse.
        return grpc.aio.insecure_channel(address, options=[*options, ("grpc.default_authority", "localhost")])
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=options)
    assert role is not None  # whoever has signed our certificate has signed those of all roles
    options.append(("grpc.ssl_target_name_override", roles.server_name(role)))

    def connect(material: Material) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(address, of_channel(material), options=options)

    return RenewingChannel(credentials.current, connect)
