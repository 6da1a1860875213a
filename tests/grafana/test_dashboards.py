"""The dashboards as files: queries that parse, metrics that there are, and what Grafana wants of the JSON."""

import json
import pathlib
import re
from typing import Any

import asyncpg
import pytest
import yaml

from tests.grafana.dashboards import EXPRESSIONS, FILES, GRAFANA, STATEMENTS, Target, dashboard, name_of, panels
from tests.metrics import register
from tests.promql import named

EACH = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
VARIABLES = {"model": ".*", "worker": ".*", "process": "local-0"}
SOURCES = {"prometheus": "${datasource}", "grafana-postgresql-datasource": "${ledger}"}


@pytest.mark.parametrize("target", EXPRESSIONS, ids=name_of)
def test_a_query_parses_and_names_metrics_and_labels_that_there_are(target: Target) -> None:
    found = named(target.promql(VARIABLES, window="1m"))
    assert not found.metrics - register.samples(), "docs/metrics.md has no such metric"
    assert not found.labels - register.labels(found.metrics), "none of its metrics has such a label"


async def test_every_statement_asks_for_tables_and_columns_that_there_are(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    refused = {}
    for target in STATEMENTS:
        try:
            await connection.fetch(target.statement())
        except asyncpg.PostgresError as error:
            refused[name_of(target)] = str(error)
    await connection.close()
    assert not refused


@pytest.mark.parametrize("target", STATEMENTS, ids=name_of)
def test_a_statement_reads_only_what_the_role_for_reports_may_read(target: Target) -> None:
    grants = (GRAFANA.parents[1] / "docs" / "ledger.md").read_text(encoding="utf-8")
    [granted] = re.findall(r"^GRANT SELECT ON (.*) TO reports;", grants, re.MULTILINE)
    assert set(re.findall(r"\b(?:FROM|JOIN) (\w+)", target.text)) <= set(granted.split(", "))


@EACH
def test_a_dashboard_is_in_the_classic_form_that_any_grafana_takes(path: pathlib.Path) -> None:
    board = dashboard(path)
    assert path.read_text(encoding="utf-8") == json.dumps(board, indent=2, ensure_ascii=False) + "\n"
    assert board["id"] is None
    assert board["uid"] == f"hybridinference-{path.stem}"
    assert board["schemaVersion"] == 39
    assert board["graphTooltip"] == 1
    assert board["refresh"]
    assert "hybridinference" in board["tags"]
    assert board["description"]
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    used = set(re.findall(r"\$\{?(?!__)(\w+)", path.read_text(encoding="utf-8")))
    assert used <= set(variables)
    assert {"type": "link", "url": "${docs}/runbook.md"}.items() <= board["links"][1].items()


@EACH
def test_a_panel_says_what_it_shows_in_which_unit_and_from_a_source_that_is_a_variable(path: pathlib.Path) -> None:
    ids = [panel["id"] for panel in dashboard(path)["panels"]]
    assert len(ids) == len(set(ids))
    for panel in panels(path):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        for one in (panel, *panel["targets"]):
            assert SOURCES[one["datasource"]["type"]] == one["datasource"]["uid"], panel["title"]
        for target in panel["targets"]:
            assert not re.search(r"\[\d", target.get("expr", "")), "a rate over a time of its own, not $__rate_interval"


@EACH
def test_panels_do_not_overlap(path: pathlib.Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard(path)["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_what_is_provisioned_is_there_and_no_secret_is_in_it() -> None:
    [sources] = (GRAFANA / "provisioning" / "datasources").glob("*.yaml")
    found: dict[str, Any] = yaml.safe_load(sources.read_text(encoding="utf-8"))
    assert {one["type"] for one in found["datasources"]} == set(SOURCES)
    for one in found["datasources"]:
        assert one["uid"].startswith("hybridinference-")
        assert all(value.startswith("$") for value in one.get("secureJsonData", {}).values())
    [providers] = (GRAFANA / "provisioning" / "dashboards").glob("*.yaml")
    [provider] = yaml.safe_load(providers.read_text(encoding="utf-8"))["providers"]
    assert provider["type"] == "file"
