"""The configuration's JSON Schema, for editors."""

from typing import Any

from services.config.mesh import MeshConfig

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Whatever is plain may be a variable in the file, which becomes a number or a boolean when it is read.
_VARIABLE = {"type": "string", "pattern": r"\$\{"}
_PLAIN = ("integer", "number", "boolean")


def document() -> dict[str, Any]:
    """The schema of a file as people write it, variables and short forms included."""
    schema = _with_variables(MeshConfig.model_json_schema())
    assert isinstance(schema, dict)
    return {"$schema": DIALECT, **schema, "title": "HybridInference"}


def _with_variables(node: Any) -> Any:
    if isinstance(node, list):
        return [_with_variables(each) for each in node]
    if not isinstance(node, dict):
        return node
    changed = {key: value if key in ("default", "enum") else _with_variables(value) for key, value in node.items()}
    if changed.get("type") not in _PLAIN:
        return changed
    told = {key: changed.pop(key) for key in ("title", "description", "default") if key in changed}
    return {**told, "anyOf": [changed, _VARIABLE]}
