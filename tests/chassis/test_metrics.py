"""The metrics endpoint."""

import pathlib
import socket
import time
import urllib.request

import pytest
from prometheus_client import Counter, Gauge
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from services.chassis import declared, metrics
from services.chassis.exemplar import exemplar_of
from services.chassis.metrics import new_registry, serving_metrics


def _scrape(address: str, accept: str = "*/*") -> str:
    if address.startswith("unix:"):
        with socket.socket(socket.AF_UNIX) as scraper:
            scraper.settimeout(5)
            scraper.connect(address.removeprefix("unix:"))
            scraper.sendall(f"GET /metrics HTTP/1.0\r\nAccept: {accept}\r\n\r\n".encode())
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


def test_whoever_connects_and_says_nothing_is_let_go(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert metrics._QuietHandler.timeout, "by default, too"
    monkeypatch.setattr(metrics._QuietHandler, "timeout", 0.05)
    with serving_metrics(new_registry(), address), socket.socket(socket.AF_UNIX) as silent:
        silent.settimeout(60)
        silent.connect(address.removeprefix("unix:"))
        assert silent.recv(1) == b""
    assert capsys.readouterr().err == ""


def test_a_look_that_the_event_loop_disturbs_is_taken_again_and_one_that_always_fails_is_told(address: str) -> None:
    registry = new_registry()
    changing = dict.fromkeys(range(4), 1.0)
    left = 3

    def total() -> float:
        nonlocal left
        found = 0.0
        for value in changing.values():
            found += value
            if left:
                left -= 1
                changing[len(changing)] = 0.0  # as another thread would
        return found

    gauge = Gauge("test_total", "Of what changes.", registry=registry)
    gauge.set_function(total)
    with serving_metrics(registry, address):
        assert "test_total 4.0" in _scrape(address)
        left = 1000
        assert "500 Internal" in _scrape(address)


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


# What Prometheus 2.42 asks for.
_OPEN_METRICS = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75"


def test_whoever_asks_for_openmetrics_gets_it_with_exemplars_and_others_get_text_without(address: str) -> None:
    registry = new_registry()
    trace = exemplar_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    assert exemplar_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00") is None
    assert exemplar_of("") is None
    declared.Histogram("test_seconds", "Things.", buckets=(1, 2)).on(registry).observe(1.5, trace)
    Counter("engine:steps", "As an engine names its own.", registry=registry).inc()
    with serving_metrics(registry, address):
        told, plain = _scrape(address, _OPEN_METRICS), _scrape(address)
    assert "application/openmetrics-text" in told
    assert 'test_seconds_bucket{le="2.0"} 1.0 # {trace_id="4bf92f3577b34da6a3ce929d0e0e4736"} 1.5' in told
    assert "text/plain" in plain
    assert 'test_seconds_bucket{le="2.0"} 1.0\n' in plain
    assert "\nengine:steps_total 1.0\n" in plain
    assert "\nengine:steps_total 1.0\n" in told
    [parsed] = [one for one in openmetrics(told.partition("\r\n\r\n")[2]) if one.name == "test_seconds"]
    assert [sample.exemplar.value for sample in parsed.samples if sample.exemplar] == [1.5]


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_the_endpoint_ends_at_once_however_seldom_it_looks(
    address: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_POLL_SECONDS", 60.0)
    with serving_metrics(new_registry(), address if kind == "unix" else f"127.0.0.1:{_free_port()}"):
        time.sleep(0.1)  # it waits
        begun = time.monotonic()
    assert time.monotonic() - begun < 2
