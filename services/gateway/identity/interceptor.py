"""Who may call what: asked before a call's handler is, for every method. Nothing is open that is not named so."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import grpc
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from prometheus_client import CollectorRegistry

from services.chassis import declared
from services.chassis.children import Children
from services.chassis.failure import Failure
from services.config.access import Scope
from services.gateway.database import DatabaseAway
from services.gateway.identity import caller, credential, policy
from services.gateway.identity.grant import ANYBODY, STRANGER, Grant
from services.gateway.identity.keyring import Keyring
from services.gateway.identity.public import PublicStreams
from services.gateway.identity.stored import VERDICTS

HEADER = "authorization"

_HOW = "send it as `authorization: Bearer hi_...`"
_RETRY_SECONDS = 1.0
# What HTTP wants beside a 401 (RFC 9110, 11.6.1).
_CHALLENGE = (("www-authenticate", "Bearer"),)

AUTHENTICATIONS = declared.Counter(
    "hybrid_gateway_authentications_total",
    "Calls that need a key, by result.",
    [declared.one_of("result", {*VERDICTS, "missing", "malformed", "denied", "unavailable"})],
)


class IdentityInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls without a right, before anything of their message is read; says of others who makes them."""

    def __init__(
        self, keyring: Keyring | None, registry: CollectorRegistry, *, public: PublicStreams | None = None
    ) -> None:
        """Without a keyring whoever calls is anybody, who may do everything that has a name in the policy."""
        self._keyring = keyring
        self._public = public or PublicStreams()
        self._results = Children(AUTHENTICATIONS.on(registry))

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        method = handler_call_details.method
        try:
            scope = policy.needed(method)
        except Failure as failure:
            handler = await continuation(handler_call_details)
            # What there is not, gRPC answers with UNIMPLEMENTED: by that clients find out what there is.
            return None if handler is None else _refusing(failure)
        if method in policy.PUBLIC:
            handler = await continuation(handler_call_details)
            return None if handler is None else self._public.bounded(handler)
        try:
            grant = await self._admitted(scope, handler_call_details.invocation_metadata or ())
        except Failure as failure:
            return _refusing(failure)
        # Calls are handled in the task that asks here, so that it is known there, and to no other call.
        caller.is_now(grant)
        return await continuation(handler_call_details)

    async def _admitted(self, scope: Scope | None, metadata: Iterable[tuple[str, str | bytes]]) -> Grant:
        if self._keyring is None:
            return ANYBODY
        headers = [value for key, value in metadata if key == HEADER]
        if scope is None and not headers:
            return STRANGER
        grant = await self._known(self._keyring, headers)
        if scope is not None:
            self._require(grant, scope)
        self._count("accepted")
        return grant

    def _require(self, grant: Grant, scope: Scope) -> None:
        try:
            policy.require(grant, scope)
        except Failure:
            self._count("denied")
            raise

    async def _known(self, keyring: Keyring, headers: list[str | bytes]) -> Grant:
        if not headers:
            self._count("missing")
            raise _invalid(f"This call needs an API key: {_HOW}.")
        header = headers[0]
        # Of several, others on the way may have looked at another one than we would.
        given = credential.of_header(header) if len(headers) == 1 and isinstance(header, str) else None
        if given is None:
            self._count("malformed")
            raise _invalid(f"What came in `{HEADER}` is no API key of this service: {_HOW}.")
        try:
            verdict, grant = await keyring.judge(given)
        except DatabaseAway as error:
            self._count("unavailable")
            raise _unavailable("Keys cannot be looked up now; try again shortly.") from error
        if grant is None:
            self._count(verdict)
            if verdict == "unverifiable":
                raise _unavailable("This key cannot be checked here now; try again shortly.")
            # The same for all: whoever guesses learns nothing of what there is.
            raise _invalid("This API key is not valid: it is mistyped, expired or revoked. Ask whoever issued it.")
        return grant

    def _count(self, result: str) -> None:
        self._results.of(result).inc()


def _invalid(message: str) -> Failure:
    return Failure(reasons.ERROR_REASON_CREDENTIAL_INVALID, message)


def _unavailable(message: str) -> Failure:
    return Failure(reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE, message, retry_after=_RETRY_SECONDS)


def _refusing(failure: Failure) -> Any:
    """A handler that reads nothing. On the wire a method of one message looks like one of many."""

    async def refuse(_requests: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        if failure.reason == reasons.ERROR_REASON_CREDENTIAL_INVALID:
            context.set_trailing_metadata(_CHALLENGE)
        raise failure

    return grpc.stream_stream_rpc_method_handler(refuse)
