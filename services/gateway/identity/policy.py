"""What a caller needs for each method of a gateway. What is not named here is refused to everybody."""

from collections.abc import Mapping

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.config.access import Scope
from services.gateway.identity.grant import Grant

_INFERENCE = "/hybridinference.gateway.v1.InferenceService"
_OPENAI = "/hybridinference.gateway.v1.OpenAIService"
_OVERVIEW = "/hybridinference.gateway.v1.OverviewService"

# Health says whether a gateway serves, reflection what the published contracts say; neither says anything of a caller.
PUBLIC = frozenset(
    (
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    )
)

# Whoever has no key is answered too, and told less, as the method says. A key that is shown has to be right.
OPEN = frozenset((f"{_OVERVIEW}/Overview",))

# What a key may do only where its scopes name it. A key that names none may do everything else.
BY_NAME: frozenset[Scope] = frozenset(("overview",))

SCOPES: Mapping[str, Scope] = {
    f"{_INFERENCE}/Generate": "generate",
    f"{_INFERENCE}/StreamGenerate": "generate",
    f"{_INFERENCE}/Embed": "embed",
    f"{_INFERENCE}/ListModels": "models",
    f"{_INFERENCE}/ExplainRoute": "explain",
    f"{_OPENAI}/CreateChatCompletion": "generate",
    f"{_OPENAI}/CreateCompletion": "generate",
    f"{_OPENAI}/CreateResponse": "generate",
    f"{_OPENAI}/CreateEmbedding": "embed",
    f"{_OPENAI}/CreateExplanation": "explain",
    f"{_OPENAI}/ListModels": "models",
    f"{_OPENAI}/GetModel": "models",
}


def needed(method: str) -> Scope | None:
    """The scope that a method (`/package.Service/Method`) needs; None where it needs none.

    Raises:
        Failure: PERMISSION_DENIED: nobody has said who may call it.
    """
    if method in PUBLIC or method in OPEN:
        return None
    scope = SCOPES.get(method)
    if scope is None:
        raise Failure(reasons.ERROR_REASON_PERMISSION_DENIED, "Nobody may call this method.", scope="none")
    return scope


def holds(grant: Grant, scope: Scope) -> bool:
    """Whether a key is for something."""
    return scope in grant.scopes or not (grant.scopes or scope in BY_NAME)


def require(grant: Grant, scope: Scope) -> None:
    """Refuse what a key is not for.

    Raises:
        Failure: PERMISSION_DENIED, naming the scope.
    """
    if not holds(grant, scope):
        has = ", ".join(sorted(grant.scopes)) or "those alone that need no name"
        raise Failure(
            reasons.ERROR_REASON_PERMISSION_DENIED,
            f"This API key is not for this: it lacks the scope `{scope}`, and has {has}.",
            scope=scope,
        )
