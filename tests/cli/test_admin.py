"""Envoy's admin interface."""

import asyncio
import contextlib
import socket
import time

import pytest

from services.cli import admin
from services.cli.home import Home

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\na: 1\r\n3\r\n\nb:\r\n3\r\n 22\r\n0\r\n\r\n"


@contextlib.asynccontextmanager
async def answering(home: Home, answer: bytes):
    asked = []

    async def serve(reader, writer):
        asked.append((await reader.readline()).decode())
        writer.write(answer)
        writer.close()

    path = home.run / "admin.sock"
    async with await asyncio.start_unix_server(serve, path):
        yield path, asked


async def test_an_answer_in_chunks_is_put_together(home: Home) -> None:
    async with answering(home, CHUNKED) as (path, asked):
        assert await admin.ask(path, "GET", "/stats") == "a: 1\nb: 22"
        assert await admin.counts(path, "a", "b", "missing") == {"a": 1, "b": 22, "missing": 0}
    assert asked == ["GET /stats HTTP/1.1\r\n", "GET /stats?filter=^a$|^b$|^missing$ HTTP/1.1\r\n"]


async def test_an_answer_that_is_none_is_an_error(home: Home) -> None:
    async with answering(home, b"HTTP/1.1 503 Service Unavailable\r\n\r\n") as (path, _):
        with pytest.raises(ConnectionError, match="503"):
            await admin.ask(path, "GET", "/ready")
    with pytest.raises(OSError, match="No such file"):
        await admin.ask(home.run / "nobody.sock", "GET", "/ready")


async def test_a_home_may_have_a_path_that_is_longer_than_that_of_a_socket(home: Home) -> None:
    deep = Home(home.path / ("x" * 120))
    deep.prepare()
    async with answering(home, CHUNKED) as (path, _):
        (deep.run / "admin.sock").hardlink_to(path)
        assert await admin.ask(deep.run / "admin.sock", "GET", "/stats") == "a: 1\nb: 22"


async def test_one_that_takes_the_question_and_says_nothing_is_not_waited_for(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "_SECONDS", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(home.run / "admin.sock"))
        silent.listen()
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            await admin.ask(home.run / "admin.sock", "GET", "/stats")
        assert time.monotonic() - begun < 5
