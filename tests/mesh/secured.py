"""Any mesh's configuration as one whose processes listen on ports of this host and prove themselves by certificates."""

import contextlib
import datetime
import pathlib
import random
import socket
from typing import Any

import yaml

from services.cli import certs
from services.cli.home import Home
from services.config import mesh

MTLS = {"ca": "tls/ca.pem", "certificate": "tls/{process}.pem", "key": "tls/{process}.key"}
_FEW = 8  # more of a kind than any mesh of a test has


class Ports:
    """A port for every process that there may be, the same each time it is asked for."""

    def __init__(self) -> None:
        self._base = _free_base()
        self._providers: dict[str, int] = {}

    def several(self, kind: str, count: int) -> list[str]:
        """Addresses for the processes of a kind, or of a provider."""
        assert count <= _FEW
        first = self._base + _FEW * self._providers.setdefault(kind, len(self._providers))
        return [f"127.0.0.1:{first + index}" for index in range(count)]


def secured(text: str, ports: Ports) -> str:
    """The configuration with an address on a port for each process, and with `mtls`."""
    config: dict[str, Any] = yaml.safe_load(text)
    for kind in ("gateway", "router"):
        section = config.setdefault(kind, {})
        section["listen"] = ports.several(kind, section.pop("instances", 1))
    config.setdefault("admin", {})["listen"] = ports.several("admin", 1)[0]
    for name, provider in config["providers"].items():
        workers = provider.get("workers", 1)
        provider["workers"] = ports.several(name, workers if isinstance(workers, int) else len(workers))
    config["mtls"] = MTLS
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)


def issue(home: pathlib.Path, config: pathlib.Path, *, authority: str = certs.DIRECTORY, days: float = 1.0) -> None:
    """Give every process that the configuration has now, and some gateways that it may have later, a certificate."""
    now = datetime.datetime.now(datetime.UTC)
    directory = home / authority
    if not directory.exists():
        certs.init(directory, days=2, now=now)
    read = mesh.load(config)
    many = [f"127.0.0.1:{port + 1}" for port in range(_FEW)]  # who is named matters here, not where
    more = read.model_copy(update={"gateway": read.gateway.model_copy(update={"listen": tuple(many), "instances": 1})})
    certs.issue(more, Home(home), directory, processes=[], days=days, now=now)


def _free_base() -> int:
    """Where so many ports begin that nobody listens on; below those that outgoing connections take."""
    count = _FEW * 12
    while True:
        base = random.SystemRandom().randrange(10_000, 32_000 - count)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for port in range(base, base + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return base
