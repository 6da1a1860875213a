"""Where a request would go, why one went where it went, and how it would have gone under another strategy."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.mesh.driver import Mesh, mesh, wait_until

pytestmark = pytest.mark.slow

CONFIG = """
gateway: {drain_seconds: 2, show_worker: true, allow_pinning: true}
providers:
  echo: {kind: echo, workers: 2, token_ms: 2, drain_seconds: 2}
  dear: {kind: echo, drain_seconds: 2}
models:
  - name: echo
    strategy: adaptive
    routes:
      - {provider: echo, tags: [eu]}
      - {provider: dear, role: fallback, tags: [eu, fast], price: {input: 1000, output: 1000}}
"""
TEXT = "word " * 400


@pytest.fixture(scope="module")
def running() -> Iterator[Mesh]:
    with mesh(CONFIG) as made:
        yield made


def ask(running: Mesh, **headers: str) -> Any:
    return running.client.chat.completions.with_raw_response.create(
        model="echo", messages=[{"role": "user", "content": TEXT}], max_tokens=8, extra_headers=headers
    )


def post(running: Mesh, path: str, body: dict[str, Any], **headers: str) -> Any:
    return running.client._client.post(f"http://127.0.0.1:{running.port}{path}", json=body, headers=headers)


def explained(running: Mesh, **headers: str) -> Any:
    body = {"model": "echo", "messages": [{"role": "user", "content": TEXT}]}
    return post(running, "/v1/explain", body, **headers).json()


def test_what_would_happen_is_told_and_nothing_does(running: Mesh) -> None:
    before = len(running.requests())
    told = json.loads(running.hybrid("explain", TEXT, "--json", "--tag", "eu").stdout)
    assert (told["fate"], told["strategy"], told["targets"], told["eligible"]) == ("placed", "adaptive", 3, 2)
    first, second, third = told["candidates"]
    assert {first["worker"], second["worker"]} == {"echo-0", "echo-1"}
    assert first["score"] <= second["score"]
    assert "wait_seconds" in first["terms"]
    assert (third["provider"], third["ruled_out_by"]) == ("dear", "role")
    assert len(running.requests()) == before


def test_hints_rule_routes_out(running: Mesh) -> None:
    fast = explained(running, **{"x-hybrid-tags": "fast"})
    assert (fast["fate"], fast["candidates"][0]["provider"]) == ("placed", "dear")
    assert [one["ruled_out_by"] for one in fast["candidates"][1:]] == ["tags", "tags"]
    cheap = explained(running, **{"x-hybrid-tags": "fast", "x-hybrid-max-cost-usd": "0.01"})
    assert (cheap["fate"], cheap["error"]["param"]) == ("refused", "x-hybrid-max-cost-usd")
    assert {one["ruled_out_by"] for one in cheap["candidates"]} == {"tags", "max_cost"}
    assert explained(running, **{"x-hybrid-worker": "echo-1"})["candidates"][0]["worker"] == "echo-1"


def test_the_typed_face_tells_the_same(running: Mesh) -> None:
    spec = {"model": "echo", "messages": [{"role": "ROLE_USER", "parts": [{"text": TEXT}]}]}
    body = {"spec": spec, "routing": {"tags": ["fast"], "first_content_slo": "2s"}}
    told = post(running, "/api/v1/explain", body).json()
    assert (told["fate"], told["decision"]["candidates"][0]["provider"]) == ("placed", "dear")
    refused = post(running, "/api/v1/explain", {"spec": spec, "routing": {"tags": ["no such"]}})
    assert (refused.status_code, "routing.tags" in refused.text) == (400, True)


def test_a_request_that_has_happened_is_told_of(running: Mesh) -> None:
    raw = ask(running, **{"x-hybrid-worker": "echo-1"})
    assert raw.headers["x-hybrid-worker"] == "echo-1"
    answer = raw.parse()
    row = running.row_of(answer.id.removeprefix("chatcmpl-"))
    (told,) = json.loads(running.hybrid("why", raw.headers["x-request-id"], "--json").stdout)
    assert told["generation_id"] == row["generation_id"]
    (attempt,) = told["attempt_list"]
    assert (attempt["worker"], attempt["kind"], attempt["decision"]["strategy"]) == ("echo-1", "", "adaptive")
    assert attempt["decision"]["candidates"][0]["worker"] == "echo-1"
    assert attempt["decision"]["ruled_out"] == {"worker": 2}
    assert (told["max_output_tokens"], told["prefix_blocks"]) == (8, 7)
    shown = running.hybrid("why", answer.id).stdout
    assert "why: adaptive, 1 of 3 targets eligible; ruled out: worker 2" in shown


def test_a_refusal_is_told_of_with_what_ruled_everybody_out(running: Mesh) -> None:
    body = {"model": "echo", "messages": [{"role": "user", "content": TEXT}]}
    refused = post(running, "/v1/chat/completions", body, **{"x-hybrid-tags": "nowhere"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "x-hybrid-tags")
    found: list[Any] = []

    def there() -> bool:
        found[:] = json.loads(running.hybrid("why", refused.headers["x-request-id"], "--json").stdout or "[]")
        return bool(found)

    wait_until(there, seconds=30)
    assert found[0]["refused_by"]["ruled_out"] == {"tags": 3}


def test_the_last_days_are_replayed_under_other_strategies(running: Mesh) -> None:
    generation_id = ""
    for _ in range(30):
        generation_id = ask(running).parse().id.removeprefix("chatcmpl-")
    running.row_of(generation_id)
    done = running.hybrid("replay", "--days", "1", "--strategy", "round_robin", "--seeds", "1")
    assert done.returncode == 0, done.stderr
    assert "requests for echo" in done.stdout
    assert "echo: 2 equal engines" in done.stdout
    assert ("adaptive" in done.stdout, "round_robin" in done.stdout) == (True, True)
    trace = pathlib.Path(running.home, "replay", "trace.jsonl").read_text().splitlines()
    assert len(trace) >= 30
    assert json.loads(trace[-1])["output_length"] == 8
