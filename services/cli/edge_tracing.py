"""The edge's part of a trace: Envoy's tracer, and the cluster of the collector that it sends spans to."""

import ipaddress
import json
import pathlib
from typing import Any

from services.config.tracing import Tracing

_TYPES = "type.googleapis.com/envoy"
_SAMPLERS = "envoy.tracers.opentelemetry.samplers"
_COLLECTOR = "collector"
_MILLION = 1_000_000

# In place of the usual ones, which have the query, in which some put keys, and all that a client may send. Path and id
# are as in the access log; where a client is, and with what, is not for a collector.
_TAGS = (
    {"tag": "http.url", "value": "%PATH(NQ:ORIG_OR_PATH):512%"},
    {"tag": "guid:x-request-id", "value": "%REQ(X-REQUEST-ID):128%"},
    {"tag": "user_agent", "literal": {"value": "-"}},
    {"tag": "peer.address", "literal": {"value": "-"}},
)


def tracer(config: Tracing | None) -> dict[str, Any] | None:
    """The listener's `tracing`; None without a collector.

    A caller's own trace is kept if it says so. Of those that begin here a share is, by their ids.
    """
    if config is None:
        return None
    samplers = f"{_TYPES}.extensions.tracers.opentelemetry.samplers.v3"
    of_share = {
        "name": f"{_SAMPLERS}.trace_id_ratio_based",
        "typed_config": {
            "@type": f"{samplers}.TraceIdRatioBasedSamplerConfig",
            "sampling_percentage": {"numerator": round(config.share * _MILLION), "denominator": "MILLION"},
        },
    }
    resource = {
        "name": "envoy.tracers.opentelemetry.resource_detectors.static_config",
        "typed_config": {
            "@type": f"{_TYPES}.extensions.tracers.opentelemetry.resource_detectors.v3"
            ".StaticConfigResourceDetectorConfig",
            "attributes": {"service.instance.id": "envoy"},
        },
    }
    return {
        "spawn_upstream_span": False,
        "operation": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD):32%",
        "custom_tags": list(_TAGS),
        "provider": {
            "name": _COLLECTOR,
            "typed_config": {
                "@type": f"{_TYPES}.config.trace.v3.OpenTelemetryConfig",
                "service_name": "hybridinference-envoy",
                "grpc_service": {"envoy_grpc": {"cluster_name": _COLLECTOR}, "timeout": "5s"},
                "resource_detectors": [resource],
                "sampler": {
                    "name": f"{_SAMPLERS}.parent_based",
                    "typed_config": {"@type": f"{samplers}.ParentBasedSamplerConfig", "wrapped_sampler": of_share},
                },
            },
        },
    }


def cluster(config: Tracing | None, files: pathlib.Path) -> str:
    """The collector's cluster, an item of the template's list in YAML; empty without a collector.

    Relative paths of files start from `files`.
    """
    if config is None:
        return ""
    http = f"{_TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions"
    address = {"socket_address": {"address": config.host, "port_value": config.port}}
    made: dict[str, Any] = {
        "name": _COLLECTOR,
        # Also where it is an address: it is not for the file of the gateways' endpoints.
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": _COLLECTOR,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": http,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }
    if config.ca is not None:
        made["transport_socket"] = _tls(config.host, files / config.ca)
    return f"- {json.dumps(made)}"


def _tls(host: str, authorities: pathlib.Path) -> dict[str, Any]:
    """TLS to a host whose certificate those have signed, for its name or its address."""
    named = not _is_address(host)
    name = {"san_type": "DNS" if named else "IP_ADDRESS", "matcher": {"exact": host}}
    validation = {"trusted_ca": {"filename": str(authorities)}, "match_typed_subject_alt_names": [name]}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPES}.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            **({"sni": host} if named else {}),
            "common_tls_context": {"validation_context": validation},
        },
    }


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
