"""aimock, a server by others that speaks many vendors' APIs, as npm installs it."""

import contextlib
import json
import pathlib
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

HERE = pathlib.Path(__file__).parent
PROGRAM = HERE / "node_modules" / ".bin" / "llmock"
_SECONDS = 30.0


class Aimock:
    """A running one."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    @contextlib.contextmanager
    def chaos(self, **rates: float) -> Iterator[None]:
        """Let requests go wrong at a rate, in its own words: `dropRate`, `malformedRate` and their like."""
        self._chaos("POST", rates)
        try:
            yield
        finally:
            self._chaos("DELETE", {})

    def _chaos(self, method: str, rates: dict[str, float]) -> None:
        headers = {"content-type": "application/json"}
        body = json.dumps(rates).encode() if rates else None
        request = urllib.request.Request(f"{self.url}/__aimock/chaos", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=_SECONDS):
            pass


@contextlib.contextmanager
def aimock() -> Iterator[Aimock]:
    """One that is ready, on a port of its own; it is gone afterwards."""
    assert PROGRAM.exists(), "not installed: run `make test-clients`, or `npm ci` in tests/clients"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [PROGRAM, "--port", str(port), "--fixtures", HERE / "aimock.json", "--chunk-size", "4"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([*command, "--log-level", "warn"], stdout=log, stderr=subprocess.STDOUT)
        try:
            begun = time.monotonic()
            while not _answers(port):
                assert process.poll() is None, "it has ended"
                assert time.monotonic() - begun < _SECONDS, "it does not answer"
                time.sleep(0.05)
            yield Aimock(port)
        finally:
            process.kill()
            process.wait(_SECONDS)
            log.seek(0)
            print(log.read().decode(errors="replace")[-4000:])


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
