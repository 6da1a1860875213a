"""Taking Envoy out of service: no new connections, running requests may finish."""

import asyncio
import pathlib

_PAUSE_SECONDS = 0.1
_ACTIVE = "http.edge.downstream_rq_active"


async def drain_edge(admin: pathlib.Path, seconds: float) -> None:
    """Close the listeners, and wait until no request is under way, for up to `seconds`.

    Envoy neither waits nor exits by itself: asked to end, it cuts every stream at once.
    """
    try:
        async with asyncio.timeout(seconds):
            await _ask(admin, "POST", "/healthcheck/fail")
            await _ask(admin, "POST", "/drain_listeners")
            while active(await _ask(admin, "GET", f"/stats?filter={_ACTIVE}")):  # noqa: ASYNC110  # Envoy tells only who asks
                await asyncio.sleep(_PAUSE_SECONDS)
    except (OSError, TimeoutError):
        return  # it is gone, or has had its time


def active(stats: str) -> int:
    """Requests under way, summed over the listeners that the answer names."""
    lines = (line.rpartition(": ") for line in stats.splitlines())
    return sum(int(value) for name, _, value in lines if name.endswith("downstream_rq_active") and value.isdigit())


async def _ask(admin: pathlib.Path, method: str, path: str) -> str:
    reader, writer = await asyncio.open_unix_connection(str(admin))
    # Envoy refuses HTTP/1.0, so the answer may come in chunks; their sizes are lines of their own.
    fields = "Host: envoy\r\nContent-Length: 0\r\nConnection: close\r\n"
    try:
        writer.write(f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode())
        await writer.drain()
        answer = (await reader.read()).decode(errors="replace")
        if not answer.startswith("HTTP/1.1 200 "):
            raise ConnectionError(answer.partition("\r\n")[0])
        return answer
    finally:
        writer.close()
