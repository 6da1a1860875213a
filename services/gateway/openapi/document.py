"""The document: both faces in one, OpenAPI 3.1."""

from typing import Any

from google.protobuf import descriptor_pb2

from services.gateway.openapi import http, openai, typed
from services.gateway.openapi.comments import Comments
from services.gateway.openapi.messages import Messages

_ABOUT = """\
One mesh, two faces: OpenAI's API below /v1/, and the typed API, which is gRPC's, as JSON below /api/v1/.

The schemas of the typed API are those of its contracts in JSON, with names as in the contracts. Names in
lowerCamelCase, enums as numbers or in other case, numbers as text and null for what is absent are understood as well;
fields that are not known are passed over. A stream that ends without `finished` was cut.

Where a response is text/event-stream, the schema is that of one event. In OpenAI's API a request with `"stream": true`
is answered so, an error that comes late is the last event, and the end is the event `[DONE]`.

Beyond what schemas say, no array or object there may have more than 16,384 members.
"""


def document(contracts: descriptor_pb2.FileDescriptorSet) -> dict[str, Any]:
    """The document.

    Args:
        contracts: all contracts with their comments, as `protoc --include_source_info` writes them.
    """
    comments = Comments(contracts.file)
    messages = Messages(comments)
    paths = openai.paths(comments) | typed.paths(messages, comments)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "HybridInference",
            "version": "v1",
            "description": _ABOUT,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": service.name, "description": comments.of(service.full_name).partition("\n\n")[0]}
            for service in (openai.SERVICE, *typed.SERVICES)
        ],
        "security": list(http.SECURITY),
        "paths": paths,
        "components": {
            "schemas": openai.schemas() | typed.schemas() | messages.schemas(),
            "responses": openai.responses() | typed.responses(),
            "headers": http.headers(),
            "securitySchemes": http.SECURITY_SCHEMES,
        },
    }
