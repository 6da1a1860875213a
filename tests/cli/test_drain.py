"""Taking Envoy out of service."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator

from services.cli.drain import active, drain_edge
from services.cli.home import Home


class Admin:
    """Envoy's admin interface, with so many requests under way, one fewer each time it is asked."""

    def __init__(self, running: int) -> None:
        self.running = running
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, path, version = (await reader.readline()).decode().split()
        if version != "HTTP/1.1":
            writer.write(b"HTTP/1.1 426 Upgrade Required\r\n\r\n")
            writer.close()
            return
        self.asked.append(f"{method} {path.partition('?')[0]}")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        if path.startswith("/stats"):
            line = f"http.edge.downstream_rq_active: {self.running}\n"
            writer.write(f"{len(line):x}\r\n{line}\r\n0\r\n\r\n".encode())
            self.running -= 1
        writer.close()


@contextlib.asynccontextmanager
async def listening(admin: Admin, path: pathlib.Path) -> AsyncIterator[None]:
    async with await asyncio.start_unix_server(admin.serve, path):
        yield


async def test_listeners_close_first_and_running_requests_may_finish(home: Home) -> None:
    admin, path = Admin(2), home.run / "admin.sock"
    async with listening(admin, path):
        await drain_edge(path, 30.0)
    assert admin.asked == ["POST /healthcheck/fail", "POST /drain_listeners", *["GET /stats"] * 3]


async def test_requests_that_do_not_end_are_not_waited_for_longer_than_allowed(home: Home) -> None:
    admin, path = Admin(1_000_000), home.run / "admin.sock"
    async with listening(admin, path):
        await drain_edge(path, 0.2)
    assert admin.asked


async def test_an_envoy_that_is_gone_needs_no_draining(home: Home) -> None:
    await drain_edge(home.run / "admin.sock", 30.0)


def test_requests_of_all_listeners_count() -> None:
    assert active("http.edge.downstream_rq_active: 2\nhttp.tls.downstream_rq_active: 3\nother: 9\n") == 5
    assert active("HTTP/1.1 200 OK\n\n") == 0
