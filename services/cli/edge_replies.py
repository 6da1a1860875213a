"""What Envoy answers by itself, in the words of whoever asks: gRPC, the typed API as JSON, OpenAI's API."""

from collections.abc import Iterator
from typing import Any

from services.chassis import register, status
from services.chassis.failure import Failure

Mapper = dict[str, Any]

_SAID = "%LOCAL_REPLY_BODY%"
_MESSAGES = {
    404: "Unknown request URL: %REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)% %PATH(NQ:ORIG_OR_PATH)%. "
    "Please check the URL for typos.",
    408: "The request did not arrive in time.",
    413: "Request body is too large.",
    429: "Rate limit reached. Please retry later.",
    431: "Request headers are too large.",
    503: "The service is temporarily unavailable. Please retry.",
    504: "The request timed out.",
}
_TYPED = "/api/"
_TYPES = "type.googleapis.com/google.rpc"


def mappers() -> list[Mapper]:
    """Envoy's local_reply_config.mappers, of which the first that matches counts.

    There is no default format: it would also rewrite the body of a 200.
    """
    return [*_grpc(), *_http()]


def _grpc() -> Iterator[Mapper]:
    """gRPC clients keep a plain message."""
    # A transcoded request is application/grpc, too, by the time it gets here; the original path that the transcoder
    # leaves tells it apart.
    native = [
        _header("content-type", string_match={"prefix": "application/grpc"}),
        _header("x-envoy-original-path", present_match=True, invert_match=True),
    ]
    plain = {"text_format_source": {"inline_string": _SAID}}
    # One that is too slow hears so; 408 alone would be UNKNOWN.
    yield {
        "filter": _all(_status(408), *native),
        "headers_to_add": [_add("grpc-status", str(register.EDGE[408].grpc))],
        "body_format_override": plain,
    }
    yield {"filter": _all(*native), "body_format_override": plain}


def _http() -> Iterator[Mapper]:
    for http, row in register.EDGE.items():
        if row.grpc is not None:
            yield _typed(http, row)
        yield _openai(http, row)


def _typed(http: int, row: register.EdgeRow) -> Mapper:
    """Callers of the typed API get a google.rpc.Status, as they do from a gateway."""
    details: list[dict[str, Any]] = []
    if row.reason:
        name = Failure(row.reason, "").reason_name
        details.append({"@type": f"{_TYPES}.ErrorInfo", "reason": name, "domain": status.DOMAIN, "metadata": {}})
    if row.retry_seconds is not None:
        details.append({"@type": f"{_TYPES}.RetryInfo", "retry_delay": f"{row.retry_seconds}s"})
    # Before the transcoder has seen it a request has its own path, after that the one of its RPC.
    path = [_header(name, string_match={"prefix": _TYPED}) for name in (":path", "x-envoy-original-path")]
    told = {"code": row.grpc, "message": _MESSAGES.get(http, _SAID), "details": details}
    return _json(http, _all(_status(http), {"or_filter": {"filters": path}}), told)


def _openai(http: int, row: register.EdgeRow) -> Mapper:
    error = {"message": _MESSAGES.get(http, _SAID), "type": row.type, "param": None, "code": row.code}
    return _json(http, _status(http), {"error": error})


def _json(http: int, filters: Mapper, body: dict[str, Any]) -> Mapper:
    mapper: Mapper = {
        "filter": filters,
        "body_format_override": {"content_type": "application/json", "json_format": body},
    }
    if http == 503:
        mapper["headers_to_add"] = [_add("retry-after", str(register.EDGE[503].retry_seconds))]
    return mapper


def _status(http: int) -> Mapper:
    """Matches a status; 400 and 500 those above, too."""
    comparison = {
        "op": "GE" if http in (400, 500) else "EQ",
        "value": {"default_value": http, "runtime_key": f"edge.{http}"},
    }
    return {"status_code_filter": {"comparison": comparison}}


def _header(name: str, **match: Any) -> Mapper:
    return {"header_filter": {"header": {"name": name, **match}}}


def _all(*filters: Mapper) -> Mapper:
    return {"and_filter": {"filters": list(filters)}}


def _add(key: str, value: str) -> Mapper:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
