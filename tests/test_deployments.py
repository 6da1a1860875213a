"""Manifests of Kubernetes and compose: well-formed, whole, and in agreement with the configurations beside them.

Neither kustomize, nor docker, nor a cluster is here: that they run is not shown.
"""

import fnmatch
import pathlib
import re
from typing import Any

import kubernetes_validate
import pytest
import yaml
from yamllint import linter
from yamllint.config import YamlLintConfig

from services.cli.setup.environment import PYTHON
from services.config import mesh
from services.config.mesh import MeshConfig

ROOT = pathlib.Path(__file__).parents[1]
KUBERNETES = ROOT / "infrastructure" / "kubernetes"
COMPOSE = ROOT / "infrastructure" / "compose"
BASE, GPU = KUBERNETES / "base", KUBERNETES / "overlays" / "gpu"
EACH = pytest.mark.parametrize("where", [BASE, GPU], ids=["base", "gpu"])
LINT = YamlLintConfig(
    "extends: default\nrules:\n  line-length: {max: 160}\n  document-start: disable\n"
    "  braces: {max-spaces-inside: 1}\n  octal-values: disable\n"
)
# Made by whoever installs it, never by a manifest.
SECRETS = {
    "hybridinference": {"ledger.dsn", "pepper.key", "tenant.key", "admin.key"},
    "hybridinference-openai": {"openai.key"},
}


def resources(directory: pathlib.Path) -> list[dict[str, Any]]:
    """All that a kustomization has, as kustomize puts it together but for names and images."""
    found: list[dict[str, Any]] = []
    for name in yaml.safe_load((directory / "kustomization.yaml").read_text())["resources"]:
        path = (directory / name).resolve()
        found += resources(path) if path.is_dir() else yaml.safe_load_all(path.read_text())
    return found


def pods(directory: pathlib.Path) -> dict[str, dict[str, Any]]:
    """The pods of each workload, by its name."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]
        for each in resources(directory)
        if "template" in each.get("spec", ())
    }


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def config_of(directory: pathlib.Path, nothing: pathlib.Path) -> MeshConfig:
    """As a process reads it that was given no secret."""
    return mesh.load(directory / "hybrid.yaml", {"CREDENTIALS_DIRECTORY": str(nothing)})


FILES = [*sorted(KUBERNETES.rglob("*.yaml")), *sorted(COMPOSE.glob("*.yaml"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_yamllint_finds_no_fault(path: pathlib.Path) -> None:
    assert [str(problem) for problem in linter.run(path.read_text(), LINT)] == []


@EACH
def test_kubernetes_knows_every_field(where: pathlib.Path) -> None:
    for resource in resources(where):
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


@EACH
def test_every_file_belongs_to_its_kustomization(where: pathlib.Path) -> None:
    listed = yaml.safe_load((where / "kustomization.yaml").read_text())
    names = {*listed["resources"], *(name for each in listed["configMapGenerator"] for name in each["files"])}
    assert {path.name for path in where.glob("*.yaml")} == {name for name in names if "/" not in name} | {
        "kustomization.yaml"
    }


@EACH
def test_what_a_pod_mounts_is_there(where: pathlib.Path) -> None:
    claims = {each["metadata"]["name"] for each in resources(where) if each["kind"] == "PersistentVolumeClaim"}
    templates = {
        claim["metadata"]["name"]
        for each in resources(where)
        for claim in each.get("spec", {}).get("volumeClaimTemplates", ())
    }
    for name, pod in pods(where).items():
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for container in containers(pod):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys() | templates, name
        for volume in volumes.values():
            if "secret" in volume:
                keys = {item["key"] for item in volume["secret"]["items"]}
                assert keys <= SECRETS[volume["secret"]["secretName"]], name
            if "configMap" in volume:
                assert volume["configMap"]["name"] == "hybridinference"
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims


@EACH
def test_a_vendor_s_key_is_given_to_its_workers_alone(where: pathlib.Path) -> None:
    def given(pod: dict[str, Any]) -> set[str]:
        found = [volume["secret"] for volume in pod["spec"]["volumes"] if "secret" in volume]
        return {item["key"] for secret in found for item in secret["items"]}

    having = {name for name, pod in pods(where).items() if "openai.key" in given(pod)}
    assert having == {"hybridinference-worker-openai-0", "hybridinference-worker-openai-1"}
    for name, pod in pods(where).items():
        if "worker" in name or "router" in name or "envoy" in name:
            assert not given(pod) & SECRETS["hybridinference"], name


@EACH
def test_every_process_of_the_configuration_has_a_pod_at_its_address(
    where: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    config, found = config_of(where, tmp_path), pods(where)
    services = {each["metadata"]["name"]: each["spec"] for each in resources(where) if each["kind"] == "Service"}
    for role, places in (("router", config.routers()), ("worker", config.workers())):
        for place in places:
            host, _, port = place.address.rpartition(":")
            (container,) = containers(found[host])
            assert container["command"][-2:] == [f"--{role}", place.name]
            assert container["ports"] == [{"name": "grpc", "containerPort": int(port)}]
            assert services[host]["clusterIP"] == "None"
            assert services[host]["selector"].items() <= found[host]["metadata"]["labels"].items()
    (gateways,) = (each for each in resources(where) if each["kind"] == "StatefulSet")
    name = gateways["metadata"]["name"]
    assert [place.address for place in config.gateways()] == [
        f"{name}-{number}.{gateways['spec']['serviceName']}:7000" for number in range(gateways["spec"]["replicas"])
    ]
    assert config.edge.port == containers(found["hybridinference-envoy"])[0]["ports"][0]["containerPort"]


@EACH
def test_every_pod_is_restricted_and_probed(where: pathlib.Path) -> None:
    for name, pod in pods(where).items():
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
            if container["name"] not in ("loader", "migrate"):
                assert "readinessProbe" in container, name
                assert "startupProbe" in container, name


@EACH
def test_a_pod_has_longer_to_end_than_it_drains(where: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = config_of(where, tmp_path)
    for name, pod in pods(where).items():
        if "gateway" in name or "envoy" in name:
            assert pod["spec"]["terminationGracePeriodSeconds"] > config.gateway.drain_seconds
    for place in config.workers():
        pod = pods(where)[place.address.rpartition(":")[0]]
        assert pod["spec"]["terminationGracePeriodSeconds"] > config.providers[place.provider].drain_seconds


def test_what_selects_pods_selects_some(tmp_path: pathlib.Path) -> None:
    labels = [pod["metadata"]["labels"] for pod in pods(BASE).values()]
    for resource in resources(BASE):
        selectors = []
        if resource["kind"] == "Service":
            selectors = [resource["spec"]["selector"]]
        elif resource["kind"] == "PodDisruptionBudget":
            selectors = [resource["spec"]["selector"]["matchLabels"]]
        elif resource["kind"] == "NetworkPolicy":
            rules = resource["spec"].get("ingress", ())
            selectors = [resource["spec"]["podSelector"]["matchLabels"]]
            selectors += [one["podSelector"]["matchLabels"] for rule in rules for one in rule["from"]]
        for selector in selectors:
            assert any(selector.items() <= each.items() for each in labels), resource["metadata"]["name"]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    return found


def test_compose_runs_every_process_of_its_configuration(tmp_path: pathlib.Path) -> None:
    config, services = config_of(COMPOSE, tmp_path), compose()["services"]
    workers = {f"worker-{place.name}" for place in config.workers()}
    assert services.keys() == {"postgres", "migrate", "router", "loader", "gateway", "admin", "envoy"} | workers
    for name in workers:
        assert services[name]["command"][-2:] == ["--worker", name.removeprefix("worker-")]


def test_compose_names_nothing_that_is_not_there() -> None:
    whole = compose()
    for name, service in whole["services"].items():
        assert set(service.get("secrets", ())) <= whole["secrets"].keys(), name
        assert set(service.get("networks", ())) <= whole["networks"].keys(), name
        assert set(service.get("depends_on", ())) <= whole["services"].keys(), name
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in whole["volumes"] or (COMPOSE / source).exists(), name
        if "build" in service:
            context = (COMPOSE / service["build"]["context"]).resolve()
            assert (context / service["build"]["dockerfile"]).exists()


def test_compose_opens_one_port_on_loopback_and_hands_each_secret_to_who_needs_it() -> None:
    services = compose()["services"]
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "envoy": ["127.0.0.1:8080:8080"]
    }
    assert {name for name, service in services.items() if "openai.key" in service.get("secrets", ())} == {
        "worker-openai-0"
    }
    for name, service in services.items():
        if name != "postgres":
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether Docker leaves a path out of what it builds from (docs.docker.com, ".dockerignore files")."""
    parts = path.split("/")
    for pattern in patterns:
        deep = pattern.startswith("**/")
        wanted = pattern.removeprefix("**/")
        if any(fnmatch.fnmatchcase(part, wanted) for part in (parts if deep else parts[:1])):
            return True
    return False


def test_no_secret_gets_into_an_image_or_into_git() -> None:
    patterns = (ROOT / ".dockerignore").read_text().split()
    files = [pathlib.PurePath("infrastructure/compose", each["file"]) for each in compose()["secrets"].values()]
    # As docs/production.md has people make them, wherever they stand.
    files += [pathlib.PurePath(name) for name in ("pepper.key", "tenant.key", "admin.key", "openai.key", "ledger.dsn")]
    files += [pathlib.PurePath(".hybrid/pepper.key"), pathlib.PurePath(".env")]
    assert [str(path) for path in files if not ignored(str(path), patterns)] == []
    assert not ignored("services/chassis/secrets.py", patterns), "code is no secret"
    ours = set((ROOT / ".gitignore").read_text().splitlines())
    assert {"secrets/", "*.key", "*.dsn", ".env", ".hybrid/"} <= ours


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.gpu"])
def test_an_image_is_made_of_files_that_are_there_by_a_lock(name: str) -> None:
    text = (ROOT / "infrastructure" / "containers" / name).read_text()
    for source in re.findall(r"^COPY (\S+) \S+$", text, re.MULTILINE):
        assert (ROOT / source).exists()
    assert f"FROM python:{PYTHON[0]}.{PYTHON[1]}-" in text
    assert re.search(r"services\.cli\.setup (mesh|engine)\b", text)
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
