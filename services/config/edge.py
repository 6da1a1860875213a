"""The edge: Envoy's address, its certificate, its limits."""

import re

import pydantic

from services.config.base import Section

# What a browser sends: a scheme, a host, and a port unless it is the scheme's own.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::(?:[0-9]{1,5}|\*))?")
_HOST = re.compile(r"[A-Za-z0-9._-]+")


class Tls(Section):
    """The edge's certificate. Files, never their content; relative paths are meant from the mesh's home."""

    certificate: str = pydantic.Field(min_length=1, description="PEM file: the certificate, then those in between.")
    key: str = pydantic.Field(min_length=1, description="PEM file of the private key.")
    client_ca: str | None = pydantic.Field(
        default=None, min_length=1, description="PEM file; with it callers need a certificate signed by one of these."
    )


class Limits(Section):
    """What callers may send, how much and how slowly. The gateway's own limits stand above them."""

    request_bytes: int = pydantic.Field(default=32 << 20, ge=1024, le=60 << 20, description="A body below /v1.")
    typed_request_bytes: int = pydantic.Field(default=4 << 20, ge=1024, le=60 << 20, description="A body below /api.")
    headers_kib: int = pydantic.Field(default=60, ge=8, le=60, description="All headers of a request.")
    requests_per_second: int = pydantic.Field(default=5000, ge=1, le=4_000_000_000, description="Of all callers.")
    connections: int = pydantic.Field(default=10_000, ge=1, description="Connections at once.")
    streams_per_connection: int = pydantic.Field(default=256, ge=1, le=2**31 - 1, description="On HTTP/2.")
    header_seconds: float = pydantic.Field(default=10.0, ge=0.1, description="Until all headers are there.")
    request_seconds: float = pydantic.Field(default=300.0, ge=0.1, description="Until the whole request is there.")
    idle_seconds: float = pydantic.Field(default=300.0, ge=0.1, description="Of a connection without requests.")


class Edge(Section):
    """Envoy."""

    host: str = "127.0.0.1"
    port: int = pydantic.Field(default=8080, ge=1, le=65535)
    tls: Tls | None = pydantic.Field(default=None, description="Default: none, plain HTTP.")
    limits: Limits = Limits()
    cors_origins: tuple[str, ...] = pydantic.Field(
        default=("http://localhost:*", "https://localhost:*", "http://127.0.0.1:*", "https://127.0.0.1:*"),
        description="Pages that browsers let call: SCHEME://HOST[:PORT]; port * is any or none, * alone every page.",
    )
    page: bool = pydantic.Field(default=True, description="Whether the edge has the page at `/`.")
    hosts: tuple[str, ...] = pydantic.Field(
        default=(),
        description="Without keys: names by which it may be called beside localhost and addresses; * alone is any.",
    )

    @pydantic.field_validator("hosts")
    @classmethod
    def _names(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if host != "*" and not _HOST.fullmatch(host):
                raise ValueError(f"`{host}` is not the name of a host: without a scheme, a port or a path")
        return hosts

    @pydantic.field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"`{origin}` is not an origin: SCHEME://HOST or SCHEME://HOST:PORT, without a path")
        return origins
