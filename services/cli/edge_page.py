"""The page at the edge: its files, and the routes by which Envoy serves them by itself."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

# Path of the edge -> (file below infrastructure/page, its type).
FILES: Mapping[str, tuple[str, str]] = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/style.css": ("style.css", "text/css; charset=utf-8"),
    "/page/script.js": ("script.js", "text/javascript; charset=utf-8"),
}

# It needs nothing from elsewhere, is framed by nobody, and no text becomes a script in it. `data:` is its icon.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Mapping[str, str] = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Three small files, of which a reload of the page wants those that fit together.
    "cache-control": "no-cache",
}


def contents() -> dict[str, bytes]:
    """The page's files by their paths at the edge. They stand beside services/ wherever the mesh is installed."""
    directory = pathlib.Path(__file__).parents[2] / "infrastructure" / "page"
    return {path: (directory / name).read_bytes() for path, (name, _) in FILES.items()}


def routes(files: Mapping[str, str], *, indent: str) -> str:
    """The routes, as lines of YAML's block of routes; without files there is none.

    Args:
        files: where Envoy finds what it serves, by paths at the edge.
        indent: what stands before each line but the first.
    """
    return f"\n{indent}".join(f"- {json.dumps(_route(path, files[path]))}" for path in files)


def _route(path: str, file: str) -> dict[str, Any]:
    headers = {"content-type": FILES[path][1], **_HEADERS}
    reads = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
    return {
        "match": {"path": path, "headers": [reads]},
        "direct_response": {"status": 200, "body": {"filename": file}},
        "response_headers_to_add": [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in headers.items()
        ],
    }
