"""A mesh under load with Debian's Prometheus and Alertmanager beside it, as `hybrid up --observability` starts them."""

import contextlib
import http.server
import json
import os
import pathlib
import signal
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from services.cli import rules
from tests.mesh.driver import Mesh, free_port, wait_until

# What takes five minutes takes five seconds.
FASTER = 60
SCRAPE = "1s"
# A machine with other work to do is given its time: no test here is about how long something takes.
PATIENCE_SECONDS = 150.0


class Observed:
    """The mesh, and what Prometheus and Alertmanager say of it.

    Attributes:
        mesh: what is watched; it runs already.
        sent: what Alertmanager has sent to the receivers `page` and `ticket`, notification by notification.
        key: a caller's, without limits.
        load: those who ask all the time.
    """

    key: str
    load: "Load"

    def __init__(self, mesh: Mesh, prometheus_port: int, alertmanager_port: int, sent: list[dict[str, Any]]) -> None:
        self.mesh = mesh
        self.sent = sent
        self.prometheus = f"http://127.0.0.1:{prometheus_port}"
        self.alertmanager = f"http://127.0.0.1:{alertmanager_port}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query, each with `metric` (its labels) and `value`.

        Raises:
            AssertionError: Prometheus refuses it, with what it says.
        """
        found: list[dict[str, Any]] = self._ask(f"query?{urllib.parse.urlencode({'query': expression})}")["result"]
        return found

    def value(self, expression: str) -> float:
        """The sum of an instant query's samples; 0 where there are none."""
        return sum(float(sample["value"][1]) for sample in self.query(expression))

    def groups(self) -> list[dict[str, Any]]:
        """All groups of rules, with what their last evaluation came to."""
        groups: list[dict[str, Any]] = self._ask("rules")["groups"]
        return groups

    def alerts(self, state: str = "firing") -> list[dict[str, Any]]:
        """The labels of alerts that are in that state."""
        return [alert["labels"] for alert in self._ask("alerts")["alerts"] if alert["state"] == state]

    def fires(self, name: str, *, seconds: float = PATIENCE_SECONDS, **labels: str) -> dict[str, Any]:
        """Wait until an alert with these labels fires; its labels."""
        found: list[dict[str, Any]] = []

        def fired() -> bool:
            wanted = {"alertname": name, **labels}
            found[:] = [alert for alert in self.alerts() if wanted.items() <= alert.items()]
            return bool(found)

        self.until(fired, seconds=seconds, what=f"{name} does not fire")
        return found[0]

    def ends(self, name: str, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until no alert of that name fires any longer."""
        self.until(lambda: name not in {a["alertname"] for a in self.alerts()}, seconds=seconds, what=f"{name} goes on")

    def until(self, condition: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS, what: str = "") -> None:
        """Wait for something that becomes so, by asking every quarter of a second."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{what}: not within {seconds} s; firing: {self.alerts()}"
            time.sleep(0.25)

    def notified(self, name: str, receiver: str) -> bool:
        """Whether a receiver was told of an alert."""
        return any(
            one["receiver"] == receiver and name in {alert["labels"]["alertname"] for alert in one["alerts"]}
            for one in self.sent
        )

    def inhibited(self) -> set[str]:
        """Names of the alerts that Alertmanager keeps to itself, since another one says it all."""
        with urllib.request.urlopen(f"{self.alertmanager}/api/v2/alerts?inhibited=true", timeout=30) as answer:
            return {one["labels"]["alertname"] for one in json.load(answer) if one["status"]["inhibitedBy"]}

    def _ask(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"{self.prometheus}/api/v1/{path}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error


@contextlib.contextmanager
def observed(mesh: Mesh) -> Iterator[Observed]:
    """Start that mesh with Prometheus and Alertmanager, which hurry: all times are divided by FASTER.

    `mesh` is not up yet, and its configuration has a `metrics.port`.
    """
    ports = free_port(), free_port()
    with mesh.config.open("a", encoding="utf-8") as file:
        file.write(f"observability: {{prometheus_port: {ports[0]}, alertmanager_port: {ports[1]}}}\n")
    with _receiver() as (address, sent):
        up = mesh.hybrid("up", "--detach", "--port", str(mesh.port), "--observability", timeout=300)
        assert up.returncode == 0, f"{up.stdout}\n{up.stderr}"
        found = Observed(mesh, *ports, sent)
        _hurry(mesh.home / "observability", address)
        for process in ("alertmanager", "prometheus"):
            os.kill(mesh.pid(process), signal.SIGHUP)
        found.until(lambda: found.value("sum(up == 1)") >= 8, what="not everything is scraped")
        yield found


def _hurry(directory: pathlib.Path, receiver: str) -> None:
    """Have both read what they read already, with all times divided, and send what is to be sent to `receiver`."""
    settings = yaml.safe_load((directory / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": SCRAPE, "evaluation_interval": SCRAPE}
    (directory / "prometheus.yml").write_text(yaml.safe_dump(settings))
    (directory / "rules.yml").write_text(rules.faster(rules.shipped(), FASTER))
    settings = yaml.safe_load((directory / "alertmanager.yml").read_text())
    for one in settings["receivers"]:
        if one["name"] != "none":
            one["webhook_configs"] = [{"url": receiver, "send_resolved": False}]
    for route in (settings["route"], *settings["route"]["routes"]):
        route |= {"group_wait": "1s", "group_interval": "2s"}
    (directory / "alertmanager.yml").write_text(yaml.safe_dump(settings))


@contextlib.contextmanager
def _receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that takes Alertmanager's notifications, and those that it has taken."""
    sent: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", sent
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Load:
    """Some clients who ask all the time, each for its model. A context manager; `asked` counts their answers.

    Args:
        mesh: whom they ask.
        models: a client for each; the same name twice is two clients.
        key: theirs; the mesh may need none.
        pause: seconds between an answer and the next question.
        question: what they ask.
        stagger: seconds that each begins after the one before.
    """

    def __init__(
        self,
        mesh: Mesh,
        models: tuple[str, ...],
        *,
        key: str = "none",
        pause: float = 0.1,
        question: str = "one two three four",
        stagger: float = 0.0,
    ) -> None:
        self.asked = 0
        self._question = question
        self._over = threading.Event()
        self._url, self._key, self._pause = f"http://127.0.0.1:{mesh.port}/v1", key, pause
        self._threads = [
            threading.Thread(target=self._ask, args=(model, n * stagger)) for n, model in enumerate(models)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Nobody asks any more; those who wait for an answer hear it."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, model: str, after: float) -> None:
        body = {"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": self._question}]}
        self._over.wait(after)
        number = 0
        while not self._over.is_set():
            number += 1
            if model.endswith("vectors"):
                self._post("embeddings", {"model": model, "input": "one two"})
            else:
                self._post("chat/completions", {**body, "stream": bool(number % 2)})
            self._over.wait(self._pause)

    def _post(self, path: str, body: dict[str, Any]) -> None:
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._key}"}
        request = urllib.request.Request(f"{self._url}/{path}", json.dumps(body).encode(), headers)
        # What goes wrong here is what the mesh is watched for.
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=20) as answer:
            answer.read()
            self.asked += 1


__all__ = ["FASTER", "PATIENCE_SECONDS", "Load", "Observed", "observed", "wait_until"]
