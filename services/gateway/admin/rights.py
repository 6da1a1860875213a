"""Which right each method of the admin process needs. What is not named here is refused to everybody."""

from collections.abc import Mapping

from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from hybridinference.gateway.v1 import admin_service_pb2

from services.config.access import Right

_SERVICE = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"]

NAME: str = _SERVICE.full_name

RIGHTS: Mapping[str, Right] = {
    f"/{NAME}/CreateKey": "keys",
    f"/{NAME}/ListKeys": "keys",
    f"/{NAME}/RevokeKey": "keys",
    f"/{NAME}/RotateKey": "keys",
    f"/{NAME}/QueryUsage": "usage",
    f"/{NAME}/Drain": "drains",
    f"/{NAME}/Undrain": "drains",
    f"/{NAME}/ListDrains": "drains",
    f"/{NAME}/ListFlags": "usage",
}

# Whoever gets to the socket may ask whether the process is well, and what the published contract is.
OPEN = frozenset(
    f"/{service.full_name}/{method.name}"
    for service in (
        health_pb2.DESCRIPTOR.services_by_name["Health"],
        reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
    )
    for method in service.methods
)
