"""Every rule before a real Prometheus: with data of a mesh under load, and every alert caused for real.

The tests of this file are one story: each begins where the one before has ended. Times of rules are divided by FASTER.
"""

import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from services.cli import rules
from tests.edge.certificates import Authority
from tests.edge.conftest import running_edge
from tests.mesh.driver import free_base
from tests.ops.observed import Load, Observed
from tests.postgres import Postgres

pytestmark = [pytest.mark.ops, pytest.mark.slow, pytest.mark.timeout(600)]

RULES: list[dict[str, Any]] = [rule for each in yaml.safe_load(rules.shipped())["groups"] for rule in each["rules"]]
ALERTS = {rule["alert"] for rule in RULES if "alert" in rule}
# Only an engine has an attention cache. promtool alone has seen this one fire.
ELSEWHERE = {"HybridVllmKvCacheFull"}
FIRED: set[str] = set()


def fired(watched: Observed, name: str, **labels: str) -> dict[str, Any]:
    """Wait until an alert fires."""
    found = watched.fires(name, **labels)
    FIRED.add(name)
    return found


@contextlib.contextmanager
def stopped(watched: Observed, *processes: str) -> Iterator[None]:
    """Processes that do not end and do nothing: as one that hangs, or a host that cannot be reached."""
    pids = [watched.mesh.pid(name) for name in processes]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def halting(watched: Observed, process: str) -> Iterator[None]:
    """A process that is held up for the greater part of every second, though not in step with what looks once a second:
    that would meet the same part of a halt, be it the end, again and again."""
    over = threading.Event()

    def halt() -> None:
        while not over.wait(random.uniform(0.1, 0.5)):
            with stopped(watched, process):
                over.wait(0.9)

    thread = threading.Thread(target=halt)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def written(file: pathlib.Path, text: str) -> Iterator[None]:
    """A file with another content, put in its place by a rename as all tools do it, and back again or away."""
    before = file.read_bytes() if file.exists() else None
    draft = file.with_name(f".{file.name}.draft")
    draft.write_text(text)
    draft.replace(file)
    try:
        yield
    finally:
        if before is None:
            file.unlink()
        else:
            draft.write_bytes(before)
            draft.replace(file)


@contextlib.contextmanager
def expiring_edge(watched: Observed, directory: pathlib.Path) -> Iterator[None]:
    """Another Envoy that Prometheus scrapes, with a certificate that is good for a day."""
    Authority().write(directory, "edge")
    tls = {"certificate": f"{directory}/edge.crt", "key": f"{directory}/edge.key"}
    file = watched.mesh.home / "observability/targets.json"
    with running_edge(edge={"tls": tls}, metrics={"port": free_base()}) as other:
        target = {"targets": [f"127.0.0.1:{other.config.metrics.port}"], "labels": {"job": "envoy", "process": "other"}}
        with written(file, json.dumps([*json.loads(file.read_text()), target])):
            yield


def test_every_process_is_scraped_by_its_name_and_role(watched: Observed) -> None:
    named = {(name, name) for name in ("envoy", "gateway", "router", "admin", "loader")}
    named |= {("worker", name) for name in ("echo-0", "echo-1", "vendor-0")}

    def up() -> set[tuple[str, str | None]]:
        return {(one["metric"]["job"], one["metric"].get("process")) for one in watched.query("up == 1")}

    watched.until(lambda: named <= up(), what=f"not all of {named} are scraped")


@pytest.mark.parametrize("process", ["admin", "gateway", "loader", "router", "echo-0", "vendor-0"])
def test_promtool_finds_no_fault_in_what_a_process_tells(process: str, watched: Observed) -> None:
    [up] = watched.query(f'up{{process="{process}"}}')
    script = f"curl -sS http://{up['metric']['instance']}/metrics | promtool check metrics"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_rule_is_evaluated_and_every_recording_rule_has_data(watched: Observed) -> None:
    def evaluated() -> list[dict[str, Any]]:
        return [rule for group in watched.groups() for rule in group["rules"]]

    watched.until(lambda: all(rule["health"] == "ok" for rule in evaluated()), what="a rule is not evaluated")
    assert len(evaluated()) == len(RULES)
    assert not [rule for rule in evaluated() if rule.get("lastError")]
    for name in sorted(rule["record"] for rule in RULES if "record" in rule):
        watched.until(lambda name=name: bool(watched.query(name)), what=f"{name} has no data")


def test_what_is_wrong_for_a_while_is_told(
    watched: Observed, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh, home = watched.mesh, watched.mesh.home
    budget = mesh.hybrid("keys", "create", "--owner", "poor", "--budget-usd-day", "0.5")
    assert budget.returncode == 0, budget.stderr
    garbage = home / "spool" / "00000000000000000001-deadbeef.segment"
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        enter(expiring_edge(watched, tmp_path))
        enter(written(home / "faults.json", '{"failure_rate": 1.0}'))
        enter(written(home / "slow.json", '{"first_token_ms": 6000}'))
        enter(written(home / "run/envoy/live/listeners.json", '{"version_info": "x", "resources": [{"@type": "x"}]}'))
        enter(written(mesh.config, mesh.config.read_text() + "\nnothing: {}\n"))
        garbage.write_bytes(os.urandom(512))
        enter(Load(mesh, ("faulty",) * 4, key=watched.key, pause=0.2))
        enter(Load(mesh, ("narrow",) * 4, key=watched.key))
        enter(Load(mesh, ("slow",) * 6, key=watched.key, stagger=1.0))
        # Before the vendor has no room: what is refused spends nothing.
        enter(Load(mesh, ("paid",), key=budget.stdout.strip()))
        fired(watched, "HybridBudgetNearlyGone", limit="usd_day")
        enter(Load(mesh, ("paid",) * 2, key=watched.key, question="fault: limited"))
        # Those first that end by themselves.
        fired(watched, "HybridEdgeConfigRejected", process="envoy")
        fired(watched, "HybridRecordsDeadLettered", process="loader")
        enter(halting(watched, "loader"))
        fired(watched, "HybridConfigReloadFailed", process="gateway")
        fired(watched, "HybridConfigReloadFailed", process="router")
        fired(watched, "HybridProviderErrorRateHigh", provider="faulty")
        fired(watched, "HybridProviderRateLimited", provider="vendor")
        fired(watched, "HybridCircuitOpen")
        fired(watched, "HybridQueueSaturated", model="narrow")
        fired(watched, "HybridErrorBudgetBurn", severity="critical")
        fired(watched, "HybridErrorBudgetBurn", severity="warning")
        fired(watched, "HybridTimeToFirstTokenHigh", gen_ai_request_model="slow")
        fired(watched, "HybridEventLoopLag", process="loader")
        fired(watched, "HybridCertificateExpiring", process="other", severity="warning")
        fired(watched, "HybridCertificateExpiring", process="other", severity="critical")
    for name in ("HybridConfigReloadFailed", "HybridEdgeConfigRejected", "HybridProviderErrorRateHigh"):
        watched.ends(name)


def test_a_process_that_is_started_again_and_again_is_told(watched: Observed) -> None:
    ended = [0.0]

    def again() -> bool:
        start = watched.value('process_start_time_seconds{process="admin"}')
        if start and start != ended[0]:  # Prometheus has seen this life: it may end
            ended[0] = start
            watched.mesh.terminate("admin")
        return "HybridProcessRestarting" in {alert["alertname"] for alert in watched.alerts()}

    watched.until(again, what="HybridProcessRestarting does not fire")
    FIRED.add("HybridProcessRestarting")


def test_a_database_that_is_away_is_told_and_not_what_follows_from_it(watched: Observed, ledger: Postgres) -> None:
    keys: list[str] = []

    def made() -> bool:  # the admin process has just been started again, or is about to be
        done = watched.mesh.hybrid("keys", "create", "--owner", "long", "--content", "stored")
        keys.extend(done.stdout.split())
        return done.returncode == 0

    watched.until(made, what="no key can be made")
    # What is said fills the spool's first half, where it may be; what comes of it alone goes on from there.
    question = " ".join(map(str, range(4000)))
    with Load(watched.mesh, ("echo",) * 6, key=keys[0], pause=0.0, question=question) as long:
        # The gateway knows the key from here on.
        watched.until(lambda: long.asked >= 6, what="nobody is answered")
        ledger.stop()
        try:
            with stopped(watched, "faulty-0", "faulty-1", "admin"):
                fired(watched, "HybridDatabaseDown", process="gateway")
                fired(watched, "HybridModelWithoutWorkers", model="faulty")
                fired(watched, "HybridWorkerDown", worker="faulty-0")
                fired(watched, "HybridWorkerUnfit", worker="faulty-0")
                fired(watched, "HybridHelperDown", process="admin")
                fired(watched, "HybridSpoolFilling", process="gateway")
                watched.until(lambda: "HybridSpoolFilling" in watched.inhibited(), what="HybridSpoolFilling is sent")
                watched.until(lambda: watched.notified("HybridDatabaseDown", "page"), what="nobody is told")
        finally:
            ledger.start()
    watched.ends("HybridDatabaseDown")


def test_callers_who_stay_away_are_told(watched: Observed) -> None:
    watched.load.stop()
    fired(watched, "HybridNoTraffic")


def test_a_mesh_that_is_gone_is_told_once(watched: Observed) -> None:
    with stopped(watched, "envoy", "gateway", "router"):
        fired(watched, "HybridEdgeDown", process="envoy")
        fired(watched, "HybridGatewayDown", process="gateway")
        fired(watched, "HybridRouterDown", process="router")
        fired(watched, "HybridMeshDown")
        held = {"HybridEdgeDown", "HybridGatewayDown", "HybridRouterDown"}
        watched.until(lambda: held <= watched.inhibited(), what="what follows is sent, too")
        watched.until(lambda: watched.notified("HybridMeshDown", "page"), what="nobody is told")
    watched.ends("HybridMeshDown")


def test_whoever_is_told_reads_sentences(watched: Observed) -> None:
    notes = [alert["annotations"] for one in watched.sent for alert in one["alerts"]]
    assert notes
    for note in notes:
        for text in (note["summary"], note["description"]):
            assert "<no value>" not in text
            assert "error" not in text.split(" ")[0]
            assert "{{" not in text


def test_every_alert_has_fired() -> None:
    assert FIRED == ALERTS - ELSEWHERE
