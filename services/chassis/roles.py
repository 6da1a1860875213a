"""Who a process is to others of its mesh: its role and its name, as certificates say them."""

import re
from collections.abc import Mapping
from typing import Literal, cast, get_args

Role = Literal["envoy", "gateway", "router", "worker", "loader", "admin", "cli"]
ROLES: tuple[Role, ...] = get_args(Role)

_DOMAIN = "hybridinference"
_IDENTITY = re.compile(rf"spiffe://{_DOMAIN}/({'|'.join(ROLES)})/([A-Za-z0-9._-]+)")

# What every server has, beside its own services. Health says nothing but whether a process serves; reflection is for
# people with tools, who come as `hybrid` does.
COMMON: Mapping[str, tuple[Role, ...]] = {
    "/grpc.health.v1.Health/Check": ROLES,
    "/grpc.health.v1.Health/Watch": ROLES,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": ("cli",),
}


def identity(role: Role, process: str) -> str:
    """The URI that the certificate of a process has among its alternative names (SPIFFE's form)."""
    return f"spiffe://{_DOMAIN}/{role}/{process}"


def prefix(role: Role) -> str:
    """What the identities of all processes of a role begin with, and no others."""
    return identity(role, "")


def server_name(role: Role) -> str:
    """The DNS name that every certificate of a role has: who calls asks for it, wherever the process is reached.

    Whoever calls a worker wants a worker of this mesh, not a host: hosts change, and one may run several roles.
    """
    return f"{role}.{_DOMAIN}"


def parse(uri: str) -> tuple[Role, str] | None:
    """Role and name of an identity; None where it is none of this mesh's."""
    found = _IDENTITY.fullmatch(uri)
    return (cast(Role, found[1]), found[2]) if found else None
