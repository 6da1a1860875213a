"""The admin process: what it needs to start, and that it takes up other operators while it runs."""

import asyncio
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import grpc
import pytest
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.gateway.v1 import admin_service_pb2_grpc

from services.chassis.channel import open_channel
from services.cli.readiness import grpc_serving
from tests.mesh.driver import until

ROOT = pathlib.Path(__file__).parents[3]
CONFIG = "providers:\n  echo: {kind: echo}\nmodels:\n  - {name: echo, routes: [{provider: echo}]}\n"


@contextlib.asynccontextmanager
async def process(home: pathlib.Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.gateway.admin", "--config", "mesh.yaml", *arguments),
        cwd=home,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"},
        stderr=subprocess.PIPE,
    )
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.kill()
        await running.wait()


async def answer(home: pathlib.Path, operator: str) -> grpc.StatusCode:
    """What an operator's question ends with."""
    credential = (home / f"{operator}.key").read_text().strip()
    async with open_channel(f"unix:{home}/run/admin.sock") as channel:
        call = admin_service_pb2_grpc.AdminServiceStub(channel).ListKeys(
            admin.ListKeysRequest(), metadata=(("authorization", f"Bearer {credential}"),), timeout=10
        )
        return await call.code()


@pytest.mark.parametrize("postgres", ["embedded-18"], indirect=True)
async def test_operators_come_and_go_while_it_runs(directory: pathlib.Path, dsn: str) -> None:
    file = directory / "mesh.yaml"
    file.write_text(CONFIG)
    async with process(directory, "--dsn", dsn) as running:
        await asyncio.wait_for(grpc_serving(f"unix:{directory}/run/admin.sock"), 30)
        assert {path.name: path.stat().st_mode & 0o777 for path in directory.glob("*.key")} == {
            "admin.key": 0o600,
            "pepper.key": 0o600,
        }
        (directory / "root.key").symlink_to("admin.key")
        assert await answer(directory, "root") == grpc.StatusCode.OK
        operators = "admin: {operators: [{name: other, credential: other.key}]}\n"
        file.write_text(CONFIG + operators)
        running.send_signal(signal.SIGHUP)
        await until((directory / "other.key").exists, seconds=30)
        await until(lambda: is_ok(directory, "other"), seconds=30)
        assert await answer(directory, "root") == grpc.StatusCode.UNAUTHENTICATED
        # What cannot be used is refused as a whole.
        (directory / "third.key").write_text("nothing")
        file.write_text(CONFIG + operators.replace("other", "third"))
        running.send_signal(signal.SIGHUP)
        assert running.stderr
        said = b""
        while b"config.refused" not in said:
            said = await asyncio.wait_for(running.stderr.readline(), 10)
        assert b"third.key can be read by others" in said or b"third.key holds no credential" in said
        assert await answer(directory, "other") == grpc.StatusCode.OK
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), 15) == 0
    assert not (directory / "run/admin.sock").exists()


async def is_ok(home: pathlib.Path, operator: str) -> bool:
    return await answer(home, operator) == grpc.StatusCode.OK


async def test_what_it_cannot_start_with_is_said_in_one_line(directory: pathlib.Path) -> None:
    file = directory / "mesh.yaml"
    file.write_text(CONFIG)
    (directory / "admin.key").write_text("ha_root_" + "s" * 43)
    (directory / "admin.key").chmod(0o644)
    async with process(directory) as running:
        _, said = await running.communicate()
    assert (running.returncode, said.decode()) == (
        1,
        "the credential of an operator cannot be used: admin.key can be read by others; `chmod 600` it\n",
    )
    (directory / "admin.key").chmod(0o600)
    async with process(directory) as running:
        _, said = await running.communicate()
    assert (running.returncode, said.decode()) == (1, "mesh.yaml: no database: give --dsn, or set ledger.dsn\n")
