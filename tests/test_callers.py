"""Every method of every service has a rule that says which processes may call it."""

import importlib
import pathlib
import re

import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from services.chassis import roles
from services.gateway import callers as gateway
from services.gateway.admin import callers as admin
from services.router import callers as router
from services.workers import callers as worker

GEN = pathlib.Path(__file__).parents[1] / "gen"
TABLES = {"admin": admin.CALLERS, "gateway": gateway.CALLERS, "router": router.CALLERS, "worker": worker.CALLERS}
STANDARD = (
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
)

# grpcio-health-checking has no answer to it; whoever asks is refused, as with everything that has no rule.
UNSERVED = {"/grpc.health.v1.Health/List"}


def methods(services):
    return {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}


def own():
    """All services of our own contracts."""
    for path in sorted(GEN.glob("hybridinference/*/v1/*_service_pb2.py")):
        module = importlib.import_module(".".join(path.relative_to(GEN).with_suffix("").parts))
        yield from module.DESCRIPTOR.services_by_name.values()


def test_every_method_has_a_rule_and_every_rule_a_method():
    named = {method for table in TABLES.values() for method in table}
    assert named | set(roles.COMMON) == methods([*own(), *STANDARD]) - UNSERVED


def test_every_process_answers_health_checks_of_all_and_reflection_of_people():
    assert set(roles.COMMON) == methods(STANDARD) - UNSERVED
    for method, allowed in roles.COMMON.items():
        assert allowed == (roles.ROLES if "Health" in method else ("cli",))


def test_no_method_is_in_two_tables_but_the_standard_ones():
    for name, table in TABLES.items():
        for other, theirs in TABLES.items():
            assert name == other or not set(table) & set(theirs) - set(roles.COMMON)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_rule_names_roles_that_there_are_and_somebody(table):
    assert all(allowed and set(allowed) <= set(roles.ROLES) for allowed in table.values())


def test_workers_do_not_call_each_other_and_nobody_outside_reaches_past_a_gateway():
    for name in ("router", "worker"):
        for allowed in TABLES[name].values():
            assert not {"envoy", "worker", "loader"} & set(allowed)
    assert all("cli" in allowed for allowed in admin.CALLERS.values())
    assert not any({"gateway", "envoy"} & set(allowed) for allowed in admin.CALLERS.values())


def test_the_guide_has_every_rule():
    document = (GEN.parent / "docs/security-model.md").read_text(encoding="utf-8")
    told = {}
    for names, allowed in re.findall(r"^\| (\w+: `[^|]*) \| ([^|]*) \|$", document, re.MULTILINE):
        service, _, listed = names.partition(": ")
        for method in re.findall(r"`(\w+)`", listed):
            told[f"{service}/{method}"] = allowed
    rules = {method: rule for table in TABLES.values() for method, rule in table.items() if method not in roles.COMMON}
    expected = {method.rpartition(".")[2]: ", ".join(rule) for method, rule in rules.items()}
    ours = {name: rule for name, rule in told.items() if not name.startswith(("Health/", "ServerReflection/"))}
    assert ours == expected
