"""Which processes may call which methods of the admin process, by their certificates."""

from collections.abc import Mapping

from services.chassis.roles import Role
from services.gateway.admin.rights import RIGHTS

# People, whose credentials say which of them and what they may.
CALLERS: Mapping[str, tuple[Role, ...]] = dict.fromkeys(RIGHTS, ("cli",))
