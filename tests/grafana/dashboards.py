"""The dashboards of infrastructure/grafana, and what Grafana would ask for their panels."""

import functools
import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

GRAFANA = pathlib.Path(__file__).parents[2] / "infrastructure" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))

# What Grafana puts in for its PostgreSQL datasource, for the last hour.
_FROM = "(now() - interval '1 hour')"
_MACROS = {
    r"\$__timeFilter\((\w+)\)": rf"(\1 >= date_trunc('hour', {_FROM}) AND \1 <= now())",
    r"\$__timeFrom\(\)": _FROM,
    r"\$__timeTo\(\)": "now()",
}


class Target(NamedTuple):
    """One query of one panel; `text` is as it stands in the file."""

    dashboard: str
    panel: str
    text: str
    sql: bool

    def promql(self, variables: Mapping[str, str], *, window: str) -> str:
        """The query as Prometheus is asked it, over that window for rates.

        Raises:
            KeyError: there is a variable without a value.
        """
        text = self.text.replace("$__rate_interval", window)
        return re.sub(r"\$(\w+)", lambda found: variables[found[1]], text)

    def statement(self) -> str:
        """The query as PostgreSQL is asked it."""
        text = self.text
        for macro, said in _MACROS.items():
            text = re.sub(macro, said, text)
        assert "$" not in text, text
        return text


@functools.cache
def dashboard(path: pathlib.Path) -> dict[str, Any]:
    """A file's content."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def panels(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    """A dashboard's panels, without the rows that group them."""
    return (panel for panel in dashboard(path)["panels"] if panel["type"] != "row")


def targets(path: pathlib.Path) -> Iterator[Target]:
    """The queries of a dashboard."""
    for panel in panels(path):
        for target in panel["targets"]:
            sql = "rawSql" in target
            yield Target(path.stem, panel["title"], target["rawSql"] if sql else target["expr"], sql)


TARGETS = [target for path in FILES for target in targets(path)]
EXPRESSIONS = [target for target in TARGETS if not target.sql]
STATEMENTS = [target for target in TARGETS if target.sql]


def name_of(target: Target) -> str:
    """A test's name for it."""
    return f"{target.dashboard}: {target.panel}"
