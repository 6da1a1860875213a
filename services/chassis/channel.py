"""Channels to other processes of the mesh."""

import grpc

# Within the mesh a peer that restarts should be found again in a fraction of a second, not after gRPC's two minutes.
_OPTIONS: list[tuple[str, int]] = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Not a pause but how long connecting itself may take: a busy machine needs more than a moment.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    # A status with details travels in trailers; gRPC's own limit of 8 KiB would replace it with RESOURCE_EXHAUSTED.
    ("grpc.max_metadata_size", 64 << 10),
    ("grpc.absolute_max_metadata_size", 128 << 10),
    # One connection per channel: a pool shared between channels would share its backoff too.
    ("grpc.use_local_subchannel_pool", 1),
]


# A link that is cut tells nobody. Both ends ask after so long without a word, so that what is lost is known to be lost
# within eight seconds, sent bytes that nobody acknowledges included. Within a host the kernel tells.
KEEPALIVE: list[tuple[str, int]] = [
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),  # gRPC would stop asking after two where only the other one sends
]


def open_channel(address: str) -> grpc.aio.Channel:
    """A channel to `unix:PATH` or `HOST:PORT`. Use it as an async context manager."""
    # The authority of a unix socket is its escaped path, which some servers refuse.
    unix = address.startswith("unix:")
    options = [*_OPTIONS, *([("grpc.default_authority", "localhost")] if unix else KEEPALIVE)]
    return grpc.aio.insecure_channel(address, options=options)
