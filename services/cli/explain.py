"""`hybrid explain`: where a request would go, candidate by candidate. Nothing is generated."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.text import Text

from services.cli import candidates, sdk
from services.cli.ledger import printable
from services.cli.problem import Problem
from services.cli.state import MeshState


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of the route; None, or nothing, where nothing is said."""

    session: str | None = None
    tags: tuple[str, ...] = ()
    max_cost_usd: str | None = None
    first_content_slo_ms: int | None = None
    criticality: str | None = None
    worker: str | None = None

    def headers(self) -> dict[str, str]:
        """As headers of the OpenAI API (docs/openai.md)."""
        said = {**dataclasses.asdict(self), "tags": ",".join(self.tags) or None}
        return {f"x-hybrid-{name.replace('_', '-')}": str(value) for name, value in said.items() if value is not None}


def asked(question: str | None, file: pathlib.Path | None, model: str | None, default: str) -> dict[str, Any]:
    """The body to explain: of the file, or of the question.

    Raises:
        Problem: neither or both are given, or the file holds no JSON object.
    """
    if (question is None) == (file is None):
        raise Problem("give a question, or a body with --file", code=2)
    if file is None:
        return {"model": model or default, "messages": [{"role": "user", "content": question}]}
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Problem(f"{file}: cannot be read: {error.strerror or error}", code=2) from error
    except ValueError as error:
        raise Problem(f"{file} cannot be read as JSON: {error}", code=2) from error
    if not isinstance(body, dict):
        raise Problem(f"{file} must hold a JSON object: the body of a request", code=2)
    return {"model": default, **body, **({"model": model} if model else {})}


def explain(mesh: MeshState, body: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
    """What the mesh says.

    Raises:
        Problem: with what the edge said.
    """
    with sdk.client(mesh) as client:
        told: dict[str, Any] = client.post(
            "/explain", body=dict(body), cast_to=dict[str, Any], options={"headers": wanted.headers()}
        )
    return told


def rendered(told: Mapping[str, Any]) -> Group:
    """For people."""
    fate = {
        "placed": "it would be placed on the first of these",
        "waiting": f"it would wait, behind {told['ahead']} others",
        "refused": f"it would be refused: {(told['error'] or {}).get('message', '')}",
    }.get(told["fate"], told["fate"])
    version = f"configuration {told['config_version']}"
    head = Text(f"{printable(told['model'])}: {printable(fate)}")
    if not told["targets"]:
        return Group(head, Text(version, style="dim"))
    counted = f"{told['strategy']}, {told['eligible']} of {told['targets']} eligible; {version}"
    return Group(head, Text(counted, style="dim"), candidates.table(told["candidates"]))
