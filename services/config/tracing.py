"""Traces: where spans are sent, and how many."""

import re
from typing import Self

import pydantic

from services.config.base import Section

_ENDPOINT = re.compile(r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})/?")


class Tracing(Section):
    """A collector of spans. Without this section none are made."""

    endpoint: str = pydantic.Field(
        description="Who takes OTLP over gRPC, as OpenTelemetry's collector does: http://HOST:4317, or https."
    )
    share: float = pydantic.Field(
        default=1.0, ge=0, le=1, description="Of the traces that begin here; a caller's own is kept if it says so."
    )
    ca: str | None = pydantic.Field(
        default=None, min_length=1, description="With https: PEM file of who signs the collector's certificate."
    )

    @pydantic.field_validator("endpoint")
    @classmethod
    def _addressed(cls, endpoint: str) -> str:
        found = _ENDPOINT.fullmatch(endpoint)
        if found is None or not 0 < int(found["port"]) < 1 << 16:
            raise ValueError("is not http://HOST:PORT or https://HOST:PORT; OTLP over gRPC has port 4317, and no path")
        return endpoint.removesuffix("/")

    @pydantic.model_validator(mode="after")
    def _signed(self) -> Self:
        if self.secure and self.ca is None:
            raise ValueError("https needs `ca`, such as /etc/ssl/certs/ca-certificates.crt")
        if not self.secure and self.ca is not None:
            raise ValueError("`ca` is for https")
        return self

    @property
    def secure(self) -> bool:
        """Whether by TLS."""
        return self.endpoint.startswith("https:")

    @property
    def host(self) -> str:
        """The collector's host, a name or an address without brackets."""
        return self._part("host").strip("[]")

    @property
    def port(self) -> int:
        """Its port."""
        return int(self._part("port"))

    def _part(self, name: str) -> str:
        found = _ENDPOINT.fullmatch(self.endpoint)
        assert found is not None, "it was validated"
        return found[name]
