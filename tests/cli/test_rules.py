"""The rules for Prometheus: whether each has all that somebody needs who is woken by it."""

import pathlib
import re
from typing import Any

import promql_parser
import pytest
import yaml

from services.cli import rules

ROOT = pathlib.Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
ALL: list[dict[str, Any]] = [rule for group in yaml.safe_load(rules.shipped())["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in ALL if "alert" in rule]
NAMES = {rule["alert"] for rule in ALERTS}
SECTIONS = re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_urgent_it_is_what_it_is_about_and_where_to_read_on(rule: dict[str, Any]) -> None:
    name, notes = rule["alert"], rule["annotations"]
    assert re.fullmatch(r"Hybrid([A-Z][a-z0-9]+)+", name)
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert all(note.endswith(".") for key, note in notes.items() if key != "runbook_url")
    assert notes["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_the_runbook_has_a_section_for_each_alert_and_for_nothing_else() -> None:
    assert sorted(SECTIONS) == sorted(NAMES)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_section_of_the_runbook_says_what_to_look_at_and_what_to_do(name: str) -> None:
    section = RUNBOOK.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert "\n- Look: " in section
    assert "\n- Do: " in section


def test_a_recording_rule_is_named_by_level_metric_and_operations() -> None:
    recorded = [rule["record"] for rule in ALL if "record" in rule]
    assert recorded
    assert [name for name in recorded if not re.fullmatch(r"[a-z]+:[a-z0-9_]+:[a-z0-9_]+", name)] == []


def test_every_alert_has_a_unit_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    tests = yaml.safe_load((ROOT / "infrastructure/prometheus/tests/alerts.yml").read_text(encoding="utf-8"))["tests"]
    checks = [check for test in tests for check in test["promql_expr_test"]]

    def tested(name: str, severity: str, *, fires: bool) -> bool:
        ours = [check for check in checks if f'"{name}"' in check["expr"]]
        mine = [check for check in ours if "severity=" not in check["expr"] or f'"{severity}"' in check["expr"]]
        return any(bool(check["exp_samples"]) is fires for check in mine)

    for rule in ALERTS:
        for fires in (True, False):
            assert tested(rule["alert"], rule["labels"]["severity"], fires=fires), (rule["alert"], fires)


def test_every_metric_of_a_rule_is_exported_recorded_or_of_envoy_or_prometheus() -> None:
    register = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    exported = set(re.findall(r"^\| `(\w+)`", register, re.MULTILINE))
    recorded = {rule["record"] for rule in ALL if "record" in rule}
    edge = set(re.findall(r"`(envoy_\w+)`", (ROOT / "docs/edge.md").read_text(encoding="utf-8")))
    others = {"up", "process_start_time_seconds"}
    for rule in ALL:
        for name in metrics_of(rule["expr"]):
            plain = re.sub(r"_(bucket|count|sum)$", "", name)
            assert {name, plain} & (exported | recorded | edge | others), name


def metrics_of(expression: str) -> set[str]:
    """The names of all series that an expression of PromQL asks for."""
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.add(node.name)
        for part in ("vector_selector", "vs", "expr", "lhs", "rhs", "param"):
            child = getattr(node, part, None)
            if child is not None and not isinstance(child, str | float):
                walk(child)
        for child in getattr(node, "args", ()) or ():
            walk(child)

    walk(promql_parser.parse(expression))
    return found


def test_what_alertmanager_holds_back_or_routes_by_name_is_an_alert() -> None:
    text = (ROOT / "infrastructure/alertmanager/alertmanager.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"\bHybrid\w+", text))
    assert named
    assert named <= NAMES


def inhibited(target: dict[str, str], source: dict[str, str]) -> bool:
    """Whether Alertmanager keeps one alert to itself while the other one fires (prometheus.io, "inhibit_rule")."""
    shipped = yaml.safe_load((ROOT / "infrastructure/alertmanager/alertmanager.yml").read_text(encoding="utf-8"))

    def fits(matchers: list[str], labels: dict[str, str]) -> bool:
        for each in matchers:
            name, kind, value = re.split(r"\s*(=~|!~|!=|=)\s*", each, maxsplit=1)
            found, value = labels.get(name, ""), value.strip('"')
            same = bool(re.fullmatch(value, found)) if "~" in kind else value == found
            if same == kind.startswith("!"):
                return False
        return True

    return any(
        fits(rule["source_matchers"], source)
        and fits(rule["target_matchers"], target)
        and all(source.get(name, "") == target.get(name, "") for name in rule.get("equal", ()))
        for rule in shipped["inhibit_rules"]
    )


def test_a_model_without_workers_keeps_quiet_about_no_worker_of_another_one() -> None:
    without = {"alertname": "HybridModelWithoutWorkers", "model": "a", "severity": "critical"}
    for name in ("HybridWorkerDown", "HybridWorkerUnfit", "HybridCircuitOpen"):
        assert not inhibited({"alertname": name, "worker": "of-b-0", "severity": "warning"}, without)


def test_what_follows_from_an_alert_of_the_same_worker_or_process_is_not_told_as_well() -> None:
    down = {"alertname": "HybridWorkerDown", "worker": "w-0", "severity": "warning"}
    assert inhibited({"alertname": "HybridCircuitOpen", "worker": "w-0", "severity": "warning"}, down)
    assert not inhibited({"alertname": "HybridCircuitOpen", "worker": "w-1", "severity": "warning"}, down)
    expiring = {"alertname": "HybridCertificateExpiring", "process": "router", "severity": "critical"}
    assert inhibited({**expiring, "severity": "warning"}, expiring)
    assert not inhibited({**expiring, "severity": "warning", "process": "gateway"}, expiring)
