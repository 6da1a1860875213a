"""What gRPC does to know a link: on a unix socket nothing, between hosts what it takes."""

# A link that is cut tells nobody. Both ends ask after so long without a word, so that what is lost is known to be lost
# within eight seconds, sent bytes that nobody acknowledges included.
_BETWEEN_HOSTS: list[tuple[str, int]] = [
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),  # gRPC would stop asking after two where only the other one sends
]
# Here the kernel tells who is gone, and bandwidth is no question. gRPC would find out by pings, one with nearly
# everything that it reads: two messages, a timer, and a dozen wake-ups of its threads until they are calm again.
_ON_A_SOCKET: list[tuple[str, int]] = [
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.max_frame_size", 1 << 20),  # it would have found that out, too
]


def options(address: str) -> list[tuple[str, int]]:
    """gRPC's options at either end of `unix:PATH` or `HOST:PORT`."""
    return _ON_A_SOCKET if address.startswith("unix:") else _BETWEEN_HOSTS
