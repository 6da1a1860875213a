"""The OpenAI face: OpenAIService, whose bodies are the codecs' own and not the contracts'."""

from collections.abc import Mapping
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from hybridinference.gateway.v1 import openai_service_pb2

from services.chassis import register
from services.gateway.openai import members
from services.gateway.openai.chat import schema as chat
from services.gateway.openai.completions import schema as completions
from services.gateway.openai.embeddings import schema as embeddings
from services.gateway.openai.explain import schema as explain
from services.gateway.openai.responses import schema as responsive
from services.gateway.openapi import http
from services.gateway.openapi.comments import Comments
from services.gateway.openapi.messages import COMPONENTS

Node = dict[str, Any]

SERVICE = openai_service_pb2.DESCRIPTOR.services_by_name["OpenAIService"]

# Statuses of what reads: there is no body to refuse, and no worker to fail.
_READS = (400, 401, 403, 404, 429, 431, 500, 503, 504)

# RPC -> (name of the request's schema, of the answer's, of a streamed piece's).
_BODIES: Mapping[str, tuple[str, str, str]] = {
    "CreateChatCompletion": ("ChatCompletionRequest", "ChatCompletion", "ChatCompletionChunk"),
    "CreateCompletion": ("CompletionRequest", "Completion", "CompletionChunk"),
    "CreateResponse": ("ResponseRequest", "Response", "ResponseEvent"),
    "CreateEmbedding": ("EmbeddingRequest", "Embeddings", ""),
    "CreateExplanation": ("ExplanationRequest", "Explanation", ""),
    "ListModels": ("", "Models", ""),
    "GetModel": ("", "Model", ""),
}
# Answers of the gateway's own: no worker has a part in them.
_UNSERVED = ("Explanation",)
_SCHEMAS: Mapping[str, Node] = {
    "ChatCompletionRequest": chat.REQUEST,
    "ChatCompletion": chat.RESPONSE,
    "ChatCompletionChunk": chat.CHUNK,
    "CompletionRequest": completions.REQUEST,
    "Completion": completions.RESPONSE,
    "CompletionChunk": completions.CHUNK,
    "ResponseRequest": responsive.REQUEST,
    "Response": responsive.RESPONSE,
    "ResponseEvent": responsive.EVENT,
    "EmbeddingRequest": embeddings.REQUEST,
    "Embeddings": embeddings.RESPONSE,
    "ExplanationRequest": {
        "description": "A chat, or a completion of one prompt, as it would be asked for.",
        "anyOf": [{"$ref": COMPONENTS + "ChatCompletionRequest"}, {"$ref": COMPONENTS + "CompletionRequest"}],
    },
    "Explanation": explain.RESPONSE,
    "Models": members.MODELS,
    "Model": members.MODEL,
    "Error": members.ERROR,
}

_TOO_MANY = 429


def paths(comments: Comments) -> dict[str, Node]:
    """The paths of the face, each with its operation."""
    found: dict[str, Node] = {}
    for method in SERVICE.methods:
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern")
        path = getattr(rule, verb).replace("=**}", "}")
        found.setdefault(path, {})[verb] = _operation(method, comments)
    return found


def responses() -> dict[str, Node]:
    """Responses to failures, by name."""
    final = {row.http for row in register.REASONS.values() if row.final}
    return {
        _name(code): http.failure(
            code,
            words,
            _reference("Error"),
            *(["x-should-retry"] if code in final else []),
            *(http.LIMITS if code == _TOO_MANY else ()),
        )
        for code, words in _failures().items()
    }


def schemas() -> dict[str, Node]:
    """The schemas of all bodies, by name."""
    return dict(_SCHEMAS)


def _operation(method: MethodDescriptor, comments: Comments) -> Node:
    asked, answered, piece = _BODIES[method.name]
    in_path = [_in_path(field, comments) for field in method.input_type.fields]
    operation: Node = {
        "operationId": f"{SERVICE.name}_{method.name}",
        "tags": [SERVICE.name],
        "summary": comments.of(method.full_name),
        "parameters": [http.TIMEOUT, *http.named(method), *http.ROUTING] if asked else in_path,
    }
    content = {http.JSON: _reference(answered)}
    if piece:
        content[http.EVENTS] = http.events({"anyOf": [_reference(piece), _reference("Error")]}, done=True)
    if asked:
        operation["requestBody"] = http.body(operation["operationId"], _reference(asked))
    failing = {
        str(code): {"$ref": f"#/components/responses/{_name(code)}"} for code in _failures() if asked or code in _READS
    }
    good = http.answer("The answer.", content, *(http.SERVED if asked and answered not in _UNSERVED else http.EVERY))
    return operation | {"responses": {"200": good, **failing}}


def _in_path(field: FieldDescriptor, comments: Comments) -> Node:
    return {
        "name": field.name,
        "in": "path",
        "required": True,
        "description": comments.of(field.full_name),
        "schema": {"type": "string", "minLength": 1},
    }


def _failures() -> dict[int, list[str]]:
    """Codes of OpenAI by HTTP status."""
    said: dict[int, set[str]] = {}
    for row in (*register.REASONS.values(), *register.BARE.values()):
        said.setdefault(row.http, set()).add(row.code)
    for status, edge in register.EDGE.items():
        said.setdefault(status, set()).add(edge.code)
    return {code: sorted(said[code]) for code in sorted(said)}


def _reference(name: str) -> Node:
    return {"$ref": COMPONENTS + name}


def _name(code: int) -> str:
    return f"{SERVICE.name}.{code}"
