"""Every metric is declared, and listed as it is declared."""

import ast
import pathlib

import pytest
import yaml
from prometheus_client import CollectorRegistry

from services.chassis import declared
from tests.metrics.register import FILE, page, register, samples
from tests.promql import named

ROOT = pathlib.Path(__file__).parents[2]
SERVICES = ROOT / "services"
RULES = [
    rule
    for path in sorted((ROOT / "infrastructure" / "prometheus" / "rules").glob("*.yml"))
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
_MADE_BY_DECLARATIONS = ("Counter", "Gauge", "Histogram", "Summary", "Info", "Enum")


def test_the_page_is_what_the_code_declares() -> None:
    assert FILE.read_text(encoding="utf-8") == page(), "make metrics writes it again"


@pytest.mark.parametrize("name", register())
def test_a_metric_is_named_as_prometheus_and_its_conventions_want(name: str) -> None:
    metric, processes = register()[name]
    assert name.startswith(("hybrid_", "gen_ai_server_", "gen_ai_client_", "grpc_server_"))
    assert name.endswith("_total") == isinstance(metric, declared.Counter)
    assert processes
    assert metric.help.endswith(".")
    if isinstance(metric, declared.Histogram):
        assert list(metric.buckets) == sorted(set(metric.buckets))
    metric.on(CollectorRegistry())  # type: ignore[attr-defined]  # every kind has it


def test_no_metric_is_made_other_than_by_its_declaration() -> None:
    for path in sorted(SERVICES.rglob("*.py")):
        if path == SERVICES / "chassis" / "declared.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prometheus_client")
            for alias in node.names
            if alias.name.startswith(_MADE_BY_DECLARATIONS)
        }
        made = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        assert not {node.func.id for node in made if isinstance(node.func, ast.Name)} & imported, path


def test_a_rule_names_metrics_that_there_are_and_other_rules() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    assert recorded
    for rule in RULES:
        assert named(rule["expr"]).metrics <= samples() | recorded, rule
