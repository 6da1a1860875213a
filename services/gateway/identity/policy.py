"""What a caller needs for each method of a gateway. What is not named here is refused to everybody."""

from collections.abc import Mapping

from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.config.access import Scope
from services.gateway.identity.grant import Grant

_INFERENCE = "/hybridinference.gateway.v1.InferenceService"
_OPENAI = "/hybridinference.gateway.v1.OpenAIService"

# Health says whether a gateway serves, reflection what the published contracts say; neither says anything of a caller.
PUBLIC = frozenset(
    (
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    )
)

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
    """The scope that a method (`/package.Service/Method`) needs; None where it needs no key.

    Raises:
        Failure: PERMISSION_DENIED: nobody has said who may call it.
    """
    if method in PUBLIC:
        return None
    scope = SCOPES.get(method)
    if scope is None:
        raise Failure(reasons.ERROR_REASON_PERMISSION_DENIED, "Nobody may call this method.", scope="none")
    return scope


def require(grant: Grant, scope: Scope) -> None:
    """Refuse what a key is not for.

    Raises:
        Failure: PERMISSION_DENIED, naming the scope.
    """
    if grant.scopes and scope not in grant.scopes:
        raise Failure(
            reasons.ERROR_REASON_PERMISSION_DENIED,
            f"This API key is not for this: it lacks the scope `{scope}`, and has {', '.join(sorted(grant.scopes))}.",
            scope=scope,
        )
