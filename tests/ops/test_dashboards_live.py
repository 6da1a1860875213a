"""Every panel and every metric before a real Prometheus: a mesh with an engine, a vendor and faults, under load."""

import dataclasses
import json
import math
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from google.protobuf import descriptor_pool

from tests.grafana.dashboards import EXPRESSIONS, STATEMENTS, name_of
from tests.mesh.driver import free_base, mesh, until
from tests.metrics.register import exported, register
from tests.ops.observed import PATIENCE_SECONDS, Load, Observed, observed
from tests.promql import named
from tests.vendors.http_server import Asked, Script, in_a_thread
from tests.vendors.openai_model import OpenAIModel
from tests.vendors.openai_server import openai_server

pytestmark = [pytest.mark.ops, pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(600)]

CONFIG = """
metrics: {{port: {port}}}
access: {{keyless: false}}
gateway: {{drain_seconds: 1}}
providers:
  local:
    kind: vllm
    model: ${{HYBRID_SMOLLM2:?`make setup` makes the model}}
    served_model: smollm2
    drain_seconds: 1
  echo: {{kind: echo, workers: 2, token_ms: 5, capacity: 1, drain_seconds: 1}}
  faulty: {{kind: echo, failure_rate: 0.3, drain_seconds: 1}}
  vendor:
    kind: openai
    base_url: {url}
    api_keys: [sk-fake]
    models: [big, {{name: vectors, capabilities: [embeddings]}}]
    drain_seconds: 1
models:
  - name: smollm2
    routes: [{{provider: local}}]
  - name: echo
    routes: [{{provider: echo}}]
  - name: spilling
    routes: [{{provider: faulty}}, {{provider: echo, role: fallback}}]
  - name: paid
    routes: [{{provider: vendor, model: big, price: {{input: 1000, output: 4000}}}}]
  - name: vectors
    routes: [{{provider: vendor, model: vectors}}]
"""
MODELS = ("smollm2", "echo", "echo", "echo", "spilling", "spilling", "paid", "vectors", "made up by a caller")
VARIABLES = {"model": ".*", "worker": ".*", "process": "local-0"}
WINDOW = "15s"

# What a mesh tells only with mutual TLS, or with traces.
_NOT_HERE = {"hybrid_certificate_expires_seconds", "hybrid_trace_spans_total"}
_LIMITED = {
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-remaining-requests": "9000",
    "x-ratelimit-reset-requests": "60s",
}


@pytest.fixture(scope="module")
def filled() -> Iterator[Observed]:
    """The mesh, Prometheus beside it, and clients who go on asking."""
    model = OpenAIModel()

    def answer(asked: Asked) -> Script:
        script = model.answer(asked)
        return dataclasses.replace(script, headers={**script.headers, **_LIMITED})

    with in_a_thread(openai_server(answer)) as vendor:
        config = CONFIG.format(port=free_base(), url=vendor.base_url)
        with mesh(config, up=False) as home, observed(home) as found:
            made = home.hybrid("keys", "create", "--owner", "load", "--budget-usd-day", "100", "--rpm", "100000")
            assert made.returncode == 0, made.stderr
            with Load(home, MODELS, key=made.stdout.strip()):
                yield found


def test_no_panel_is_empty(filled: Observed) -> None:
    empty = set(EXPRESSIONS)

    def all_filled() -> bool:
        for target in list(empty):
            found = filled.query(target.promql(VARIABLES, window=WINDOW))
            if any(not math.isnan(float(sample["value"][1])) for sample in found):
                empty.remove(target)
        return not empty

    try:
        filled.until(all_filled, seconds=2 * PATIENCE_SECONDS)
    except AssertionError:
        pytest.fail("\n".join(f"{name_of(target)}: {target.text}" for target in empty))


async def test_no_panel_of_the_ledger_is_empty(filled: Observed) -> None:
    connection = await asyncpg.connect(
        f"postgresql://postgres@/hybridinference?host={filled.mesh.home}/postgres/socket&sslmode=disable"
    )
    empty = list(STATEMENTS)

    async def all_filled() -> bool:
        empty[:] = [target for target in empty if not await connection.fetch(target.statement())]
        return not empty

    try:
        await until(all_filled, seconds=PATIENCE_SECONDS)
    except AssertionError:
        pytest.fail("\n".join(map(name_of, empty)))
    finally:
        await connection.close()


def test_no_panel_names_a_metric_that_nobody_exports(filled: Observed) -> None:
    told = {one["metric"] for one in _metadata(filled)}
    wanted = {name for target in EXPRESSIONS for name in named(target.promql(VARIABLES, window=WINDOW)).metrics}
    # Prometheus keeps what a process says of a counter under its name without the end.
    unknown = {name for name in wanted - {"up"} - _NOT_HERE if not told & _families(name)}
    assert not unknown


def test_every_process_exports_what_the_register_says_and_nothing_else(filled: Observed) -> None:
    told: dict[str, set[str]] = {}
    for one in _metadata(filled):
        if one["metric"].startswith(("hybrid_", "gen_ai_", "grpc_server_")):
            told.setdefault(one["target"]["job"], set()).add(one["metric"])
    for role in ("gateway", "router", "worker", "loader", "admin"):
        declared = {name.removesuffix("_total") for name, (_, roles) in register().items() if role in roles}
        found = {name.removesuffix("_total") for name in told[role]}
        assert found <= declared, role
        assert declared - found <= {name.removesuffix("_total") for name in _NOT_HERE}, role


def test_labels_say_only_what_their_sets_hold(filled: Observed) -> None:
    models = {"smollm2", "echo", "spilling", "paid", "vectors", "other"}
    provided = models | {"big"}
    workers = {"local-0", "echo-0", "echo-1", "faulty-0", "vendor-0"}
    configured = {
        "model": models,
        "gen_ai_request_model": provided,
        "provider": {"local", "echo", "faulty", "vendor"},
        "worker": workers,
        "router": {"router"},
        "gen_ai_provider_name": {"vllm", "echo", "openai"},
    }
    of_the_process = {"version", "python"}  # one at a time
    for name, (metric, _) in register().items():
        for series in _series(filled, set(exported(name))):
            for label in metric.labels:
                said = series.get(label.name, "")
                if label.name in ("grpc_service", "grpc_method"):
                    descriptor_pool.Default().FindMethodByName(f"{series['grpc_service']}.{series['grpc_method']}")
                elif label.name not in of_the_process:
                    assert said in (configured[label.name] if label.words is None else label.words), (name, series)
            assert set(series) - {"__name__", "le", "job", "instance", "process", "role"} <= set(metric.label_names)


def _metadata(filled: Observed) -> list[dict[str, Any]]:
    """What each target says of its metrics."""
    return _ask(filled, "targets/metadata")


def _series(filled: Observed, names: set[str]) -> list[dict[str, str]]:
    """The labels of every series of these names."""
    match = f'{{__name__=~"{"|".join(sorted(names))}"}}'
    return _ask(filled, f"series?{urllib.parse.urlencode({'match[]': match})}")


def _ask(filled: Observed, path: str) -> Any:
    with urllib.request.urlopen(f"{filled.prometheus}/api/v1/{path}", timeout=30) as answer:
        return json.load(answer)["data"]


def _families(sample: str) -> set[str]:
    return {sample, *(sample.removesuffix(end) for end in ("_total", "_bucket", "_count", "_sum"))}
