"""How soon it is known that a peer on another host is lost."""

# A link that is cut tells nobody. Both ends ask after so long without a word, so that what is lost is known to be lost
# within eight seconds, sent bytes that nobody acknowledges included. On a unix socket the kernel tells.
OPTIONS: list[tuple[str, int]] = [
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),  # gRPC would stop asking after two where only the other one sends
]
