"""Envoy's statistics for Prometheus: a listener that leads to this one page of the admin interface and nowhere else."""

import json
from typing import Any

_TYPES = "type.googleapis.com/envoy.extensions"
_PAGE = "/stats/prometheus"
# As Prometheus asks by default, and as Envoy calls it. The whole path: what stands after a `?` would reach the admin.
_ASKED = rf"/metrics|{_PAGE}"
_CLUSTER = "own-admin"


def listener(address: dict[str, Any]) -> str:
    """An item of the template's listeners, where Prometheus asks at `address`."""
    route = {
        "match": {
            "prefix": "/",
            "headers": [
                {"name": ":method", "string_match": {"exact": "GET"}},
                {"name": ":path", "string_match": {"safe_regex": {"regex": _ASKED}}},
            ],
        },
        "route": {
            "cluster": _CLUSTER,
            "timeout": "10s",
            "regex_rewrite": {"pattern": {"regex": "^.*$"}, "substitution": _PAGE},
        },
    }
    virtual = {"name": "metrics", "domains": ["*"], "routes": [route]}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "metrics",
        "request_headers_timeout": "10s",
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}}],
        "route_config": {"name": "metrics", "virtual_hosts": [virtual]},
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    found = {
        "name": "metrics",
        "address": address,
        # Whoever watches gets in when the edge is full: that is when it matters.
        "ignore_global_conn_limit": True,
        "filter_chains": [{"filters": filters}],
    }
    return f"- {json.dumps(found)}"


def cluster(socket: str) -> str:
    """An item of the template's clusters: the admin interface on its unix socket."""
    endpoint = {"endpoint": {"address": {"pipe": {"path": socket}}}}
    found = {
        "name": _CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": _CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    return f"- {json.dumps(found)}"
