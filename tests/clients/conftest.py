"""One mesh that every client of this folder calls: a model behind OpenAI's API, vectors, and an echo for faults."""

import importlib.util
import os
import pathlib
import subprocess
from collections.abc import Callable, Generator, Iterator

import pytest

from tests.clients.documents import off_by_the_documents
from tests.clients.programs import started
from tests.mesh.driver import Mesh, mesh
from tests.vendors.http_server import in_a_thread
from tests.vendors.openai_model import OpenAIModel
from tests.vendors.openai_server import openai_server

HERE = pathlib.Path(__file__).parent
# The suites of this folder run in the environment `clients`; in that of other tests their modules cannot be imported.
collect_ignore = [] if importlib.util.find_spec("langchain_tests") else ["test_langchain.py"]
CONFIG = """
gateway: {{drain_seconds: 2, keep_alive_seconds: 0.25}}
router: {{breaker: {{consecutive_failures: 1000}}}}
access: {{keyless: true}}
providers:
  vendor:
    kind: openai
    base_url: {url}
    api_keys: [sk-fake]
    models:
      - big
      - {{name: old, capabilities: [completions, token_inputs, choices, logprobs, stop]}}
      - {{name: small-vectors, capabilities: [embeddings, dimensions, token_inputs]}}
    drain_seconds: 2
  echo: {{kind: echo, drain_seconds: 2}}
  limited: {{kind: echo, drain_seconds: 2}}
models:
  - name: chat
    routes: [{{provider: vendor, model: big}}]
  - name: org/other:chat
    routes: [{{provider: vendor, model: big}}]
  - name: prompts
    routes: [{{provider: vendor, model: old}}]
  - name: vectors
    routes: [{{provider: vendor, model: small-vectors}}]
  - name: echo
    routes: [{{provider: echo}}]
  - name: limited
    queue: {{max_waiting: 0}}
    routes: [{{provider: limited}}]
"""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """LangChain's tests are skipped where docs/clients.md says so and nowhere else; otherwise they have failed."""
    report = yield
    if item.module.__name__.endswith("test_langchain") and report.when == "call" and not report.failed:
        listed = any(item.originalname in tests for tests in off_by_the_documents().values())
        if listed != report.skipped:
            report.longrepr = f"{item.name} has {report.outcome}, and docs/clients.md does not say so"
            report.outcome = "failed"
    return report


Node = Callable[..., str]


@pytest.fixture(scope="session")
def clients_mesh() -> Iterator[Mesh]:
    """The mesh. No test harms it."""
    with in_a_thread(openai_server(OpenAIModel().answer)) as vendor, mesh(CONFIG.format(url=vendor.base_url)) as up:
        yield up


@pytest.fixture(scope="session")
def node(clients_mesh: Mesh) -> Node:
    """Runs a program of this folder on Node, which finds the mesh at $BASE_URL and its processes' metrics in $METRICS,
    and returns what it printed."""
    assert (HERE / "node_modules").is_dir(), "not installed: run `make test-clients`, or `npm ci` in tests/clients"

    surroundings = {
        "PATH": os.environ["PATH"],
        "BASE_URL": f"http://127.0.0.1:{clients_mesh.port}",
        "METRICS": f"{clients_mesh.home}/run",
    }

    def run(*arguments: str, seconds: float = 60.0, check: bool = True) -> str:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with started(["node", *arguments], cwd=HERE, env=surroundings, text=True, **pipes) as process:
            said, wrong = process.communicate(timeout=seconds)
        assert not check or process.returncode == 0, f"{said}\n{wrong}"
        return str(said)

    return run
