"""The admin service of a running mesh, asked as one of its operators."""

import asyncio
import os
import pathlib
from typing import Any

import grpc
from google.protobuf.message import Message
from hybridinference.gateway.v1 import admin_service_pb2_grpc
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis import status
from services.chassis.channel import open_channel
from services.chassis.credentials import Credentials
from services.cli import proof
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.state import MeshState

# Sums may take half a minute.
_SECONDS = 40.0


def ask(home: Home, mesh: MeshState, credential: pathlib.Path | None, method: str, request: Message) -> Any:
    """What a method of AdminService answers.

    Args:
        home: of the mesh.
        mesh: the mesh.
        credential: file of the operator's credential; None is `admin.key` in the home.
        method: its name.
        request: what it takes.

    Raises:
        Problem: with what the service said, or that it does not answer.
    """
    if not mesh.admin:
        raise Problem(f"`{mesh.host}` does not run the admin service; ask on the host that runs `admin`")
    secret = _read(credential or home.path / "admin.key")
    # Its address is meant from the home, and a unix socket's path must be short.
    os.chdir(home.path)
    try:
        return asyncio.run(_answer(mesh.admin, proof.of_mesh(mesh), secret, method, request))
    except grpc.aio.AioRpcError as error:
        failure = status.from_rpc_error(error)
        # What the service itself says has a reason of ours; gRPC's own words are no help.
        if failure.reason in (reasons.ERROR_REASON_WORKER_LOST, reasons.ERROR_REASON_DEADLINE_EXCEEDED):
            raise Problem("the admin service does not answer; `hybrid status` says what is missing") from error
        code = 2 if failure.reason == reasons.ERROR_REASON_SPEC_INVALID else 1
        raise Problem(f"refused: {failure.message}", code=code) from error


async def _answer(address: str, credentials: Credentials | None, secret: str, method: str, request: Message) -> Any:
    async with open_channel(address, "admin", credentials) as channel:
        call = getattr(admin_service_pb2_grpc.AdminServiceStub(channel), method)
        return await call(request, metadata=(("authorization", f"Bearer {secret}"),), timeout=_SECONDS)


def _read(path: pathlib.Path) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        why = f"{path}: the operator's credential cannot be read: {error.strerror}"
        raise Problem(f"{why}; name its file with --operator-credential") from error
    except UnicodeDecodeError:
        text = ""
    if not text.startswith("ha_") or not text.isprintable() or " " in text:
        raise Problem(f"{path} holds no operator's credential, which begins with `ha_`", code=2)
    return text
