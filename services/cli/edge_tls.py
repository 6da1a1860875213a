"""TLS of the edge: what it shows to those who call it, and what it shows to gateways and asks of them."""

import pathlib
from typing import Any

from services.chassis import roles
from services.chassis.config import ConfigError
from services.config import identity
from services.config.edge import Tls
from services.config.mesh import MeshConfig

PROCESS = "envoy"

_TYPES = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
# Of an endpoint that is called over TLS: gateways on unix sockets stand beside those on ports.
_MATCH = {"mtls": True}
METADATA = {"filter_metadata": {"envoy.transport_socket_match": _MATCH}}


def listening(tls: Tls | None, files: pathlib.Path) -> dict[str, Any] | None:
    """TLS on the listener, or none; relative paths start from `files`.

    Raises:
        ConfigError: a file cannot be read.
    """
    if tls is None:
        return None
    paths = {name: _readable(f"edge.tls.{name}", files / value) for name, value in tls if value is not None}
    context: dict[str, Any] = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificates": [_certificate(paths["certificate"], paths["key"])],
    }
    if "client_ca" in paths:
        context["validation_context"] = _believed(paths["client_ca"])
    more = {"require_client_certificate": "client_ca" in paths}
    return _socket("DownstreamTlsContext", context, more)


def calling(config: MeshConfig, files: pathlib.Path) -> list[dict[str, Any]] | None:
    """TLS to gateways that have `METADATA`, with Envoy's own certificate; relative paths start from `files`.

    Raises:
        ConfigError: the certificate cannot be used.
    """
    credentials = identity.credentials(config, "envoy", PROCESS, home=files)
    if credentials is None:
        return None
    paths = credentials.files
    gateway = {"san_type": "URI", "matcher": {"prefix": roles.prefix("gateway")}}
    context = {
        "alpn_protocols": ["h2"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [_certificate(paths.certificate, paths.key)],
        "validation_context": {**_believed(paths.ca), "match_typed_subject_alt_names": [gateway]},
    }
    more = {"sni": roles.server_name("gateway")}
    return [{"name": "mtls", "match": _MATCH, "transport_socket": _socket("UpstreamTlsContext", context, more)}]


def _socket(kind: str, context: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    config = {"@type": f"{_TYPES}.{kind}", "common_tls_context": context, **more}
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def _certificate(certificate: pathlib.Path, key: pathlib.Path) -> dict[str, Any]:
    # Only a rename in the directory is noticed. Both files are read again then, so a pair that does not fit together is
    # refused and the old one kept, until the other one has been renamed, too.
    return {
        "certificate_chain": {"filename": str(certificate)},
        "private_key": {"filename": str(key)},
        "watched_directory": {"path": str(certificate.parent)},
    }


def _believed(authorities: pathlib.Path) -> dict[str, Any]:
    return {"trusted_ca": {"filename": str(authorities)}, "watched_directory": {"path": str(authorities.parent)}}


def _readable(setting: str, path: pathlib.Path) -> pathlib.Path:
    try:
        path.read_bytes()
    except OSError as error:
        raise ConfigError([f"`{setting}`: {path} cannot be read: {error.strerror}"]) from error
    return path
