"""The one way into the admin service: who calls, whether they may, and that it is written down."""

import contextvars
import re
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.chassis.failure import Failure
from services.config.access import Operator
from services.gateway.admin import rights
from services.gateway.admin.operators import Operators

LOG = structlog.get_logger()

_KEY_ID = re.compile(r"[a-z0-9]{16}")
# Refusals that a person is behind. The others say that we could not, and are in the log.
_WRITTEN = (reasons.ERROR_REASON_PERMISSION_DENIED, reasons.ERROR_REASON_SPEC_INVALID)

ACTS = declared.Counter(
    "hybrid_admin_acts_total",
    "What operators did, or tried to.",
    [
        declared.one_of("action", (method.rpartition("/")[2] for method in rights.RIGHTS), "a method of the service"),
        declared.one_of("outcome", ("done", "refused")),
    ],
)
STRANGERS = declared.Counter("hybrid_admin_strangers_total", "Calls without the credential of an operator.")

# The operator whose call this task handles. Where nobody has been identified, asking is a fault.
_ACTING: contextvars.ContextVar[Operator] = contextvars.ContextVar("operator")

# Writes down that an operator was refused: operator, action, key, and why.
WriteDown = Callable[[str, str, str | None, dict[str, str]], Awaitable[None]]


def acting() -> Operator:
    """The operator whose call this task handles.

    Raises:
        LookupError: nobody has checked the call.
    """
    return _ACTING.get()


class Guard(grpc.aio.ServerInterceptor):
    """Lets nobody through who is not an operator with the right that the method needs.

    Attributes:
        operators: who may call; another one replaces them at once.
    """

    def __init__(self, operators: Operators, write_down: WriteDown, registry: CollectorRegistry) -> None:
        """`write_down` is told of each refused attempt of an operator, and raises Failure where it cannot."""
        self.operators = operators
        self._write_down = write_down
        self._acts = ACTS.on(registry)
        self._strangers = STRANGERS.on(registry)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method in rights.OPEN:
            return handler
        operator = self._identified(handler_call_details)
        if operator is None:
            # One that reads nothing. On the wire a method of one message looks like one of many.
            return grpc.stream_stream_rpc_method_handler(_stranger)
        return grpc.unary_unary_rpc_method_handler(
            self._guarded(method, handler, operator), response_serializer=handler.response_serializer
        )

    def _identified(self, details: grpc.HandlerCallDetails) -> Operator | None:
        given = [value for key, value in details.invocation_metadata or () if key == "authorization"]
        # Of two one might be checked and the other believed.
        operator = self.operators.identified(str(given[0])) if len(given) == 1 else None
        if operator is None:
            self._strangers.inc()
            LOG.warning("admin.stranger", method=details.method)
        return operator

    def _guarded(self, method: str, handler: Any, operator: Operator) -> Callable[[bytes, Any], Awaitable[Any]]:
        action = method.rpartition("/")[2]

        async def call(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            key_id = None
            try:
                right = rights.RIGHTS.get(method)
                if right is None or right not in operator.may or handler.unary_unary is None:
                    raise Failure(reasons.ERROR_REASON_PERMISSION_DENIED, f"{operator.name} may not do this: {action}.")
                request = _read(handler, data)
                key_id = _named(request)
                _ACTING.set(operator)
                response = await handler.unary_unary(request, context)
            except Failure as failure:
                self._told(operator, action, key_id, failure.reason_name)
                if failure.reason in _WRITTEN:
                    field = failure.metadata.get("field")
                    details = {"reason": failure.reason_name, **({"field": field} if field else {})}
                    await self._write_down(operator.name, action, key_id, details)
                raise
            self._told(operator, action, key_id or _named(getattr(response, "key", None)), "")
            return response

        return call

    def _told(self, operator: Operator, action: str, key_id: str | None, reason: str) -> None:
        self._acts.labels(action, "refused" if reason else "done").inc()
        fields = {**({"key_id": key_id} if key_id else {}), **({"reason": reason} if reason else {})}
        LOG.info("admin.refused" if reason else "admin.acted", operator=operator.name, action=action, **fields)


async def _stranger(*_: object) -> Any:
    raise Failure(
        reasons.ERROR_REASON_CREDENTIAL_INVALID, "An operator's credential is needed: `authorization: Bearer ha_…`."
    )


def _read(handler: Any, data: bytes) -> Any:
    try:
        return handler.request_deserializer(data)
    except DecodeError:
        raise Failure(
            reasons.ERROR_REASON_SPEC_INVALID, "The request is not a message of the type that is expected."
        ) from None


def _named(message: Any) -> str | None:
    """The key that a message is about; None where it names none that could be one."""
    key_id = getattr(message, "key_id", "")
    return key_id if _KEY_ID.fullmatch(key_id) else None
