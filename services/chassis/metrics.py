"""The metrics endpoint of a process: one process, one registry, one address."""

import contextlib
import platform
import re
import socket
import socketserver
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, make_wsgi_app

from services.chassis import declared
from services.chassis.address import claimed
from services.chassis.loop_lag import measured_lag
from services.chassis.version import version

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

BUILD = declared.Gauge(
    "hybrid_build_info",
    "1 for what this process runs.",
    [declared.Label("version", "the release"), declared.Label("python", "the interpreter's version")],
)


def new_registry() -> CollectorRegistry:
    """A registry that already tells of the process itself."""
    registry = CollectorRegistry()
    BUILD.on(registry).labels(version(), platform.python_version()).set(1)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


# So often it is looked whether to stop. Python's own half a second would be two wake-ups a second for nothing.
_POLL_SECONDS = 5.0
# So often metrics are looked at for one scrape; two in a row that are disturbed are rare.
_LOOKS = 5
_ESCAPING = re.compile(r";\s*escaping=[^;,]*")


def _app(registry: CollectorRegistry) -> "WSGIApplication":
    """The registry over HTTP, with names as they are.

    By the usual escaping prometheus-client writes `vllm:name` as `vllm_name` in OpenMetrics, though a colon needs none.
    """
    app: WSGIApplication = make_wsgi_app(registry)

    def unescaped(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        formats = _ESCAPING.sub("", environ.get("HTTP_ACCEPT", "")).split(",")
        environ["HTTP_ACCEPT"] = ",".join(f"{one};escaping=allow-utf-8" for one in formats)
        # What is asked here, in a thread, the event loop changes meanwhile: a dictionary under whoever walks through.
        for _ in range(_LOOKS - 1):
            with contextlib.suppress(RuntimeError):
                return app(environ, start_response)
        return app(environ, start_response)

    return unescaped


class _QuietHandler(WSGIRequestHandler):
    # Each that stays holds a thread and a file; a scraper says at once what it wants.
    timeout = 30.0

    def handle(self) -> None:
        """Answer one request; whoever goes away or says nothing is worth no line either."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are not worth a line each."""

    def address_string(self) -> str:
        return "local"


class _TcpServer(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True  # one scraper that stalls does not keep out the next


class _Tcp6Server(_TcpServer):
    address_family = socket.AF_INET6


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        socketserver.UnixStreamServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 0
        self.setup_environ()

    def get_request(self) -> tuple[object, tuple[str, int]]:  # type: ignore[override]
        connection, _ = super().get_request()
        return connection, ("local", 0)  # wsgiref wants a host and a port


@contextlib.contextmanager
def serving_metrics(registry: CollectorRegistry, address: str) -> Iterator[None]:
    """Serve the registry over HTTP in a thread, on `unix:PATH` or `HOST:PORT`, until the context ends.

    Raises:
        OSError: the address is taken or cannot be bound.
    """
    app = _app(registry)
    with claimed(address):
        if address.startswith("unix:"):
            server: WSGIServer = _UnixServer(address.removeprefix("unix:"), _QuietHandler)
            server.set_app(app)
        else:
            host, _, port = address.rpartition(":")
            kind = _Tcp6Server if ":" in host else _TcpServer
            server = make_server(host.strip("[]"), int(port), app, server_class=kind, handler_class=_QuietHandler)
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), name="metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # not every kernel does that: it looks by itself, too
                server.socket.shutdown(socket.SHUT_RDWR)  # wakes it
            server.shutdown()
            server.server_close()


@contextlib.asynccontextmanager
async def open_metrics(registry: CollectorRegistry, address: str) -> AsyncIterator[None]:
    """Serve a process's registry, as above, and tell in it how late its event loop is.

    Raises:
        OSError: the address is taken or cannot be bound.
    """
    with serving_metrics(registry, address):
        async with measured_lag(registry):
            yield
