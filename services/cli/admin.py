"""Envoy's admin interface, asked over its socket."""

import asyncio
import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any

# Below a mesh's home; see infrastructure/envoy.
SOCKET = pathlib.Path("run/envoy-admin.sock")

# It answers in milliseconds, from its main thread.
_SECONDS = 10.0


async def ask(admin: pathlib.Path, method: str, path: str) -> str:
    """The answer's body.

    Raises:
        OSError: nobody answers, or not with 200, or not in time.
    """
    # Envoy refuses HTTP/1.0, so the answer may come in chunks.
    fields = "Host: envoy\r\nContent-Length: 0\r\nConnection: close\r\n"
    async with asyncio.timeout(_SECONDS):
        reader, writer = await connected(admin)
        try:
            writer.write(f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode())
            await writer.drain()
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(head.partition(b"\r\n")[0].decode(errors="replace"))
    chunked = b"transfer-encoding: chunked" in head.lower()
    return (b"".join(_chunks(body)) if chunked else body).decode(errors="replace")


async def connected(socket: pathlib.Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to a unix socket, however long its path.

    Raises:
        OSError: nobody listens there.
    """
    # A socket's path has room for 107 bytes, which that of a home may exceed: this one starts from its directory.
    directory = os.open(socket.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{directory}/{socket.name}")
    finally:
        os.close(directory)


def _chunks(body: bytes) -> Iterable[bytes]:
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        yield rest[:length]
        body = rest[length + 2 :]


async def counts(admin: pathlib.Path, *names: str) -> dict[str, int]:
    """Counters and gauges of those names; what Envoy does not have, or not yet, is 0.

    Raises:
        OSError: as `ask`.
    """
    said = await ask(admin, "GET", "/stats?filter=" + "|".join(f"^{name}$" for name in names))
    lines = (line.rpartition(": ") for line in said.splitlines())
    found = {name: int(value) for name, _, value in lines if value.isdigit()}
    return {name: found.get(name, 0) for name in names}


async def version(admin: pathlib.Path, subscription: str) -> str:
    """The version of what Envoy has taken over a subscription, such as `listener_manager.lds`; empty without any.

    Raises:
        OSError: as `ask`.
    """
    said = await ask(admin, "GET", f"/stats?type=TextReadouts&filter=^{subscription}.version_text$")
    return said.strip().rpartition(": ")[2].strip('"')


async def refusal(admin: pathlib.Path) -> str:
    """Why Envoy has refused a listener, in its own words; empty when it has not.

    Raises:
        OSError: as `ask`.
    """
    dump: dict[str, Any] = json.loads(await ask(admin, "GET", "/config_dump?resource=dynamic_listeners"))
    return next((each["error_state"]["details"] for each in dump.get("configs", ()) if "error_state" in each), "")
