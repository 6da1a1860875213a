"""Who of the mesh may call what, where certificates prove who calls. Nothing is open that is not named."""

import functools
from collections.abc import Collection, Mapping
from typing import Any

import grpc
import structlog
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis import roles
from services.chassis.failure import Failure
from services.chassis.roles import Role

LOG = structlog.get_logger()

_SAN = "x509_subject_alternative_name"


class Admission:
    """Looks at each call's peer: by gRPC's handshake it has a certificate that an authority of ours has signed."""

    def __init__(self, callers: Mapping[str, Collection[Role]]) -> None:
        """`callers` says for each method (`/package.Service/Method`) which roles may call it."""
        self._callers = {**roles.COMMON, **callers}

    def admit(self, method: str, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        """Refuse who may not call.

        Raises:
            Failure: PERMISSION_DENIED.
        """
        # Not remembered by the peer's address, which another connection may have later; this takes less than 2 µs.
        peer = _named(tuple(context.peer_identities() or ())) if context.peer_identity_key() == _SAN else None
        allowed = self._callers.get(method, ())
        if peer is not None and peer[0] in allowed:
            return
        who = roles.identity(*peer) if peer else "a peer without an identity of this mesh"
        LOG.warning("peer.refused", method=method, peer=who, allowed=sorted(allowed))
        raise Failure(
            reasons.ERROR_REASON_PERMISSION_DENIED,
            f"By its certificate the caller is {who}; this method is for: {', '.join(sorted(allowed)) or 'nobody'}.",
            scope="none",
        )


@functools.lru_cache(maxsize=1024)
def _named(names: tuple[bytes, ...]) -> tuple[Role, str] | None:
    """Role and name by a certificate's alternative names; None where it is not one identity of this mesh."""
    uris = [name.decode("ascii", "replace") for name in names if b"://" in name]
    return roles.parse(uris[0]) if len(uris) == 1 else None
