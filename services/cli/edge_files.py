"""The edge's configuration in parts: what Envoy starts with, and what it reads again whenever that is replaced."""

import copy
import dataclasses
import hashlib
import json
from typing import Any

_TYPES = "type.googleapis.com/envoy"
# Apart from everything else: whatever is renamed into it has Envoy read all of these again.
DIRECTORY = "run/envoy/live"
GATEWAYS = "gateway"
LISTENERS, ENDPOINTS = "listeners.json", "endpoints.json"
# Beside that directory: it is read at a start alone.
BOOTSTRAP = "bootstrap.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What Envoy is started with, its listeners, the gateways' endpoints, and files that say where certificates are."""

    bootstrap: dict[str, Any]
    listeners: dict[str, Any]
    endpoints: dict[str, Any]
    secrets: dict[str, dict[str, Any]]


def split(complete: dict[str, Any]) -> Parts:
    """The parts of a complete static configuration. Each says the same of its subject as that does."""
    bootstrap = copy.deepcopy(complete)
    resources = bootstrap["static_resources"]
    listeners, endpoints, secrets = [], [], []
    for listener in resources.pop("listeners"):
        for chain in listener["filter_chains"]:
            secrets += _secrets(chain.get("transport_socket"))
        listeners.append({"@type": f"{_TYPES}.config.listener.v3.Listener", **listener})
    for cluster in resources["clusters"]:
        for match in cluster.get("transport_socket_matches") or ():
            secrets += _secrets(match["transport_socket"])
        # Names are not for files of endpoints: Envoy resolves them itself. And a file of them is one cluster's.
        if cluster["name"] == GATEWAYS and cluster["type"] == "STATIC":
            cluster["type"] = "EDS"
            cluster["eds_cluster_config"] = {"eds_config": _source(ENDPOINTS)}
            assignment = cluster.pop("load_assignment")
            endpoints.append({"@type": f"{_TYPES}.config.endpoint.v3.ClusterLoadAssignment", **assignment})
    bootstrap["dynamic_resources"] = {"lds_config": _source(LISTENERS)}
    # Envoy wants a file for each.
    named = {f"{secret['name']}.json": _resources([secret]) for secret in secrets}
    return Parts(bootstrap, _resources(listeners), _resources(endpoints), named)


def _secrets(transport_socket: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Take certificates out of a listener or cluster: only what a file of its own names is read again on a rename."""
    if transport_socket is None:
        return []
    context = transport_socket["typed_config"]["common_tls_context"]
    certificates = [_secret("tls_certificate", each) for each in context.pop("tls_certificates")]
    context["tls_certificate_sds_secret_configs"] = [_reference(secret) for secret in certificates]
    if "validation_context" not in context:
        return certificates
    authorities = _secret("validation_context", context.pop("validation_context"))
    context["validation_context_sds_secret_config"] = _reference(authorities)
    return [*certificates, authorities]


def _secret(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """A resource whose name changes with what it says, so that a listener that names it waits until Envoy has it."""
    return {
        "@type": f"{_TYPES}.extensions.transport_sockets.tls.v3.Secret",
        "name": f"{kind}-{_version(content)}",
        kind: content,
    }


def _reference(secret: dict[str, Any]) -> dict[str, Any]:
    return {"name": secret["name"], "sds_config": _source(f"{secret['name']}.json")}


def encoded(content: dict[str, Any]) -> bytes:
    """A file's content; the same for the same."""
    return json.dumps(content, indent=1, sort_keys=True).encode()


def _source(name: str) -> dict[str, Any]:
    # Without the directory Envoy would watch the file itself, which a rename replaces.
    path = {"path": f"{DIRECTORY}/{name}", "watched_directory": {"path": DIRECTORY}}
    return {"resource_api_version": "V3", "path_config_source": path}


def _resources(resources: list[dict[str, Any]]) -> dict[str, Any]:
    return {"version_info": _version(resources), "resources": resources}


def _version(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
