"""Which processes may call which methods of a router, by their certificates."""

from collections.abc import Mapping

from services.chassis.roles import Role

_ROUTER = "/hybridinference.router.v1.RouterService"

CALLERS: Mapping[str, tuple[Role, ...]] = {
    f"{_ROUTER}/Place": ("gateway",),
    f"{_ROUTER}/WatchFleet": ("gateway", "cli"),
    f"{_ROUTER}/SetDrains": ("admin",),
    f"{_ROUTER}/Explain": ("gateway",),
}
