"""Which processes may call which methods of a gateway, by their certificates. What callers may is another question."""

from collections.abc import Mapping

from services.chassis.roles import Role
from services.gateway.identity.policy import OPEN, SCOPES

_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

# What comes from outside comes by the edge, and what another gateway runs comes from there.
CALLERS: Mapping[str, tuple[Role, ...]] = {
    **dict.fromkeys((*SCOPES, *OPEN), ("envoy", "gateway")),
    _REFLECTION: ("envoy", "cli"),
}
