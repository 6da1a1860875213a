"""How gRPC waits for sockets in a process that is started with this in its environment."""

# gRPC's event engine hands each event from one thread to another before grpc.aio's own thread sees it. What gRPC did
# before it does not, and costs less for every call and every token: docs/decisions/0023-fewer-wake-ups.md.
ENVIRONMENT = {"GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener"}
