"""Prometheus and Alertmanager beside a mesh: found where the system has them, set up in the home, supervised."""

import functools
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import yaml

from services.cli import prometheus, readiness, rules
from services.cli.edge import replace
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.spec import Spec
from services.cli.surroundings import CLONE
from services.config.mesh import MeshConfig

# As Debian names them, and as their makers do.
_PROMETHEUS, _ALERTMANAGER = ("prometheus",), ("prometheus-alertmanager", "alertmanager")
_NEEDED = "on Debian and Ubuntu: apt-get install prometheus prometheus-alertmanager"
# Nobody's work depends on them: stopped with the first.
_TIER = 7
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0


def prepare(config: MeshConfig, home: Home) -> None:
    """Write what both read, below the home.

    Raises:
        Problem: the processes have no ports.
    """
    directory = _directory(home)
    for part in (directory, directory / "prometheus", directory / "alertmanager"):
        part.mkdir(mode=0o700, exist_ok=True)
    write_targets(config, home)
    settings = _shipped("prometheus/prometheus.yml")
    replace(directory / "rules.yml", rules.shipped().encode())
    settings["rule_files"] = ["rules.yml"]
    own = {
        "prometheus": f"127.0.0.1:{config.observability.prometheus_port}",
        "alertmanager": f"127.0.0.1:{config.observability.alertmanager_port}",
    }
    settings["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [own["alertmanager"]]}]}]
    for job in settings["scrape_configs"]:
        if job["job_name"] in own:
            job["static_configs"] = [{"targets": [own[job["job_name"]]]}]
        else:
            job["file_sd_configs"] = [{"files": ["targets.json"]}]
    replace(directory / "prometheus.yml", yaml.safe_dump(settings, sort_keys=False).encode())
    replace(directory / "alertmanager.yml", yaml.safe_dump(_shipped("alertmanager/alertmanager.yml")).encode())


def write_targets(config: MeshConfig, home: Home) -> None:
    """Say where the mesh's processes are; Prometheus reads it again by itself."""
    replace(_directory(home) / "targets.json", prometheus.encoded(prometheus.targets(config)).encode())


def specs(config: MeshConfig, home: Home, environment: Mapping[str, str]) -> tuple[Spec, ...]:
    """Both processes.

    Raises:
        Problem: one of them is not installed.
    """
    directory = _directory(home)
    where = config.observability
    alertmanager = (
        _found(_ALERTMANAGER),
        f"--config.file={directory / 'alertmanager.yml'}",
        f"--storage.path={directory / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{where.alertmanager_port}",
        "--cluster.listen-address=",  # alone: no port for others like it
    )
    watching = (
        _found(_PROMETHEUS),
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{where.prometheus_port}",
        "--enable-feature=exemplar-storage",
    )
    return (
        _spec("alertmanager", alertmanager, where.alertmanager_port, environment),
        _spec("prometheus", watching, where.prometheus_port, environment),
    )


def welcome(config: MeshConfig) -> str:
    """What a person is told of them."""
    where = config.observability
    return (
        f"\nPrometheus    http://127.0.0.1:{where.prometheus_port}\n"
        f"Alertmanager  http://127.0.0.1:{where.alertmanager_port}\n"
    )


def _spec(name: str, command: tuple[str, ...], port: int, environment: Mapping[str, str]) -> Spec:
    return Spec(
        name=name,
        command=command,
        environment=environment,
        tier=_TIER,
        ready=functools.partial(readiness.http_ready, "127.0.0.1", port, "/-/ready"),
        start_seconds=_START_SECONDS,
        stop_seconds=_STOP_SECONDS,
    )


def _found(names: tuple[str, ...]) -> str:
    for name in names:
        path = shutil.which(name)
        if path:
            return path
    raise Problem(f"--observability: `{names[0]}` is not installed; {_NEEDED}")


def _directory(home: Home) -> pathlib.Path:
    return home.path / "observability"


def _shipped(name: str) -> Any:
    return yaml.safe_load((CLONE / "infrastructure" / name).read_text(encoding="utf-8"))
