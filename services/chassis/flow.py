"""How much of a message may be under way to a peer before it has made room."""

# gRPC finds out by pings what a link bears, and sends one with nearly everything that it reads: a timer, a wake-up of
# its own threads, and two messages, for each report and each answer. Links of the mesh are short: on a fixed window of
# a stream, a millisecond away, 1 GiB a second goes through.
OPTIONS: list[tuple[str, int]] = [
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1 << 20),
]
