"""The metrics endpoint."""

import pathlib
import socket
import urllib.request

import pytest
from prometheus_client import Counter

from services.chassis.metrics import new_registry, serving_metrics


def _scrape(address: str) -> str:
    if address.startswith("unix:"):
        with socket.socket(socket.AF_UNIX) as scraper:
            scraper.settimeout(5)
            scraper.connect(address.removeprefix("unix:"))
            scraper.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: scraper.recv(65536), b"")).decode()
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_metrics_can_be_scraped_while_another_scraper_stalls(address: str, kind: str) -> None:
    where = address if kind == "unix" else f"127.0.0.1:{_free_port()}"
    registry = new_registry()
    Counter("test_things_total", "Things.", registry=registry).inc(3)
    with serving_metrics(registry, where):
        stalled = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
        host, _, port = where.rpartition(":")
        with stalled:
            stalled.connect(where.removeprefix("unix:") if kind == "unix" else (host, int(port)))
            text = _scrape(where)
    assert "200 OK" in text or kind == "tcp"
    assert "test_things_total 3.0" in text
    assert "process_cpu_seconds_total" in text
    assert kind == "tcp" or not pathlib.Path(where.removeprefix("unix:")).exists()


def test_an_address_that_is_taken_is_refused(address: str) -> None:
    with (
        serving_metrics(new_registry(), address),
        pytest.raises(OSError, match="another process serves on this address"),
        serving_metrics(new_registry(), address),
    ):
        pass
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        where = f"127.0.0.1:{owner.getsockname()[1]}"
        with pytest.raises(OSError, match="in use"), serving_metrics(new_registry(), where):
            pass
