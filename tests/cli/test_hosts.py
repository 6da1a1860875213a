"""Which of several hosts this is, and what they share."""

import pathlib

import pytest

from services.chassis import config
from services.cli import check, hosts
from services.cli.problem import Problem
from services.config.mesh import MeshConfig

THREE = """
ledger: {dsn: "postgresql://db/ledger"}
mtls: {ca: ca.pem, certificate: "{process}.pem", key: "{process}.key"}
gateway: {listen: ["10.0.0.1:7000", "10.0.0.2:7000"]}
router: {listen: ["10.0.0.1:7001", "10.0.0.3:7001"]}
providers: {echo: {kind: echo, workers: ["10.0.0.1:7100", "10.0.0.3:7100"]}}
models: [{name: echo, routes: [{provider: echo}]}]
hosts:
  one: [envoy, gateway, router, admin, echo-0]
  two: [envoy, gateway-2]
  three: [router-2, echo-1]
"""
ONE = "providers: {echo: {kind: echo}}\nmodels: [{name: echo, routes: [{provider: echo}]}]\n"


def read(text: str) -> MeshConfig:
    return config.parse(text, MeshConfig, source="mesh.yaml", environment={})


@pytest.mark.parametrize(("called", "host"), [("two", "two"), ("two.example.org", "two"), ("elsewhere", None)])
def test_a_host_is_the_one_that_is_called_as_the_machine_is(called: str, host: str | None) -> None:
    if host is not None:
        assert hosts.chosen(read(THREE), None, called=called) == host
        return
    with pytest.raises(Problem, match="It is called elsewhere; say --host with one of: one, two, three") as caught:
        hosts.chosen(read(THREE), None, called=called)
    assert caught.value.code == 2


def test_what_is_said_is_meant_and_has_to_be_there() -> None:
    assert hosts.chosen(read(THREE), "three", called="one") == "three"
    with pytest.raises(Problem, match="no host `four`; there are: one, two, three"):
        hosts.chosen(read(THREE), "four")


def test_without_hosts_there_is_none_to_say() -> None:
    assert hosts.chosen(read(ONE), None) is None
    with pytest.raises(Problem, match="has no `hosts`"):
        hosts.chosen(read(ONE), "one")


def test_the_only_host_is_meant_however_the_machine_is_called() -> None:
    only = read(f"{ONE}hosts: {{big: [envoy, gateway, router, admin, echo-0]}}\n")
    assert hosts.chosen(only, None, called="elsewhere") == "big"


def test_keys_that_hosts_share_are_made_on_the_first_and_copied_to_the_others(tmp_path: pathlib.Path) -> None:
    three = read(THREE)
    assert hosts.sharing(three) == ("one", "two")
    hosts.require_shared(three, "one", tmp_path)
    hosts.require_shared(three, "three", tmp_path)
    with pytest.raises(Problem, match=r"tenant.key is missing: .* the same on one, two; `one` makes it"):
        hosts.require_shared(three, "two", tmp_path)
    (tmp_path / "tenant.key").touch()
    with pytest.raises(Problem, match=r"pepper.key is missing"):
        hosts.require_shared(three, "two", tmp_path)
    (tmp_path / "pepper.key").touch()
    hosts.require_shared(three, "two", tmp_path)


def test_a_check_says_who_runs_what_and_what_has_to_be_copied() -> None:
    lines = check.summary(read(THREE)).splitlines()
    assert "host       one: admin, echo-0, envoy, gateway, loader, router" in lines
    assert "shared     tenant.key, the key under which callers are marked, has to be the same on one, two" in lines
    assert "routers    10.0.0.1:7001, 10.0.0.3:7001" in lines


def test_only_the_engines_of_this_host_keep_its_cores_busy() -> None:
    engine = 'local: {kind: vllm, model: m/small, threads: 3, workers: ["10.0.0.2:7200"]}'
    text = THREE.replace("providers: {echo", f"providers: {{{engine}, echo").replace(
        "gateway-2]", "gateway-2, local-0]"
    )
    mesh = read(text)
    assert {host: mesh.engine_cores(hosts.here(mesh, host)) for host in mesh.hosts} == {"one": 0, "two": 3, "three": 0}


def test_a_mesh_of_one_host_runs_everything_here() -> None:
    mesh = read(ONE)
    assert hosts.here(mesh, None) == mesh.beside("gateway")
