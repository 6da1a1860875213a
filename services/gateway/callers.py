"""Which processes may call which methods of a gateway, by their certificates. What callers may is another question."""

from collections.abc import Mapping

from services.chassis.roles import COMMON, Role
from services.gateway.identity.policy import OPEN, PUBLIC, SCOPES

# What comes from outside comes by the edge, and what another gateway runs comes from there. Health is everybody's.
CALLERS: Mapping[str, tuple[Role, ...]] = {
    **dict.fromkeys((*SCOPES, *OPEN), ("envoy", "gateway")),
    **{method: ("envoy", *COMMON[method]) for method in PUBLIC},
}
