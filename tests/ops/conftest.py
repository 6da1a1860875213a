"""One mesh under load that Prometheus watches, for all tests of this folder that ask Prometheus."""

from collections.abc import Iterator

import pytest

from tests.mesh.driver import free_base, mesh
from tests.ops.observed import Load, Observed, observed
from tests.postgres import Postgres, running
from tests.vendors.http_server import in_a_thread
from tests.vendors.openai_model import OpenAIModel
from tests.vendors.openai_server import openai_server

CONFIG = """
metrics: {{port: {port}}}
access: {{keyless: false}}
ledger: {{dsn: "{dsn}"}}
gateway: {{drain_seconds: 1, spool_bytes: 8388608}}
router: {{breaker: {{open_seconds: 5, open_max_seconds: 5}}}}
providers:
  echo: {{kind: echo, workers: 2, token_ms: 5, drain_seconds: 1}}
  faulty: {{kind: echo, workers: 2, token_ms: 5, drain_seconds: 1, faults_file: faults.json}}
  slow: {{kind: echo, drain_seconds: 1, faults_file: slow.json}}
  narrow: {{kind: echo, token_ms: 100, capacity: 1, drain_seconds: 1}}
  vendor:
    kind: openai
    base_url: {url}
    api_keys: [sk-fake]
    models: [big, {{name: vectors, capabilities: [embeddings]}}]
    drain_seconds: 1
models:
  - name: echo
    routes: [{{provider: echo}}]
  - name: faulty
    routes: [{{provider: faulty}}]
  - name: slow
    routes: [{{provider: slow}}]
  - name: narrow
    queue: {{max_waiting: 1}}
    routes: [{{provider: narrow}}]
  - name: paid
    routes: [{{provider: vendor, model: big, price: {{input: 1000, output: 4000}}}}]
  - name: spilling
    routes: [{{provider: faulty}}, {{provider: echo, role: fallback}}]
  - name: vectors
    routes: [{{provider: vendor, model: vectors}}]
"""
MODELS = ("echo", "echo", "faulty", "narrow", "paid", "slow", "spilling", "vectors")


@pytest.fixture(scope="session")
def ledger() -> Iterator[Postgres]:
    """The watched mesh's own PostgreSQL, which the tests may stop; its database `ledger` has the tables."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def watched(ledger: Postgres) -> Iterator[Observed]:
    """A mesh with every kind of process, under load, that Prometheus scrapes every second.

    `watched.query("up")` asks Prometheus, `watched.mesh` is the mesh of tests/mesh/driver.py, MODELS are asked all the
    time by a client each. All rules are loaded, with their times divided by FASTER: in a query of your own write ranges
    of some seconds, `rate(x[10s])`. What is counted is there some seconds after the fixture: wait with `watched.until`.

    Nothing is broken yet for whoever asks first: `test_rules_live.py` harms this mesh, and comes last by its name.
    """
    with in_a_thread(openai_server(OpenAIModel().answer)) as vendor:
        config = CONFIG.format(port=free_base(), dsn=ledger.dsn("ledger"), url=vendor.base_url)
        with mesh(config, up=False) as home, observed(home) as found:
            made = home.hybrid("keys", "create", "--owner", "load")
            assert made.returncode == 0, made.stderr
            found.key = made.stdout.strip()
            with Load(home, MODELS, key=found.key) as found.load:
                yield found
