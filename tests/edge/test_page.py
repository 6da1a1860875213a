"""The page at `/`, as a real Envoy serves it, and the RPC that it reads, as JSON."""

import asyncio

import pytest

from services.cli import edge_page, reload
from services.config.mesh import MeshConfig
from tests.edge.conftest import CONFIG

pytestmark = [pytest.mark.edge, pytest.mark.asyncio(loop_scope="module")]

PATHS = sorted(edge_page.FILES)


@pytest.mark.parametrize("path", PATHS)
async def test_each_file_is_served_as_it_is(http, path):
    reply = await http.get(path)
    assert (reply.status_code, reply.headers.get_list("content-type")) == (200, [edge_page.FILES[path][1]])
    assert reply.content == edge_page.contents()[path]
    head = await http.head(path)
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize("path", PATHS)
async def test_nothing_is_loaded_from_elsewhere_nothing_is_guessed_and_nobody_frames_it(http, path):
    headers = (await http.get(path)).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-cache"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


async def test_a_query_changes_nothing_and_it_can_only_be_read(http):
    assert (await http.get("/?a=b")).content == edge_page.contents()["/"]
    for path in PATHS:
        assert (await http.put(path)).status_code == 404
        assert (await http.post(path, json={})).status_code == 404
    for path in ("/index.html", "/page", "/page/", "/page/index.html", "/page/../page/other.js"):
        assert (await http.get(path)).status_code == 404


async def test_by_a_name_that_is_not_the_meshs_nobody_gets_it_from_a_mesh_without_keys(envoy, http):
    keyless = MeshConfig.model_validate({**CONFIG, "access": {"keyless": True}})
    await asyncio.to_thread(reload.apply, keyless, envoy.home)
    await http.get("/")  # a connection that was there before is given up with its next answer
    try:
        assert (await http.get("/", headers={"host": "evil.example"})).status_code == 403
        assert (await http.get("/")).status_code == 200
    finally:
        await asyncio.to_thread(reload.apply, envoy.config, envoy.home)
        await http.get("/")


async def test_it_can_be_switched_off_and_on_while_the_edge_runs(envoy, http):
    off = MeshConfig.model_validate({**CONFIG, "edge": {"page": False}})
    assert await asyncio.to_thread(reload.apply, off, envoy.home) is True
    await http.get("/")
    for path in PATHS:
        reply = await http.get(path)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_url")
    assert (await http.get("/api/v1/overview")).status_code == 200, "the RPC is there for others"
    await asyncio.to_thread(reload.apply, envoy.config, envoy.home)
    await http.get("/")
    assert (await http.get("/")).status_code == 200


async def test_the_overview_is_json_with_a_limit_of_its_requests(http):
    told = (await http.get("/api/v1/overview", params={"max_requests": 2})).json()
    assert told["extent"] == "OVERVIEW_EXTENT_ALL"
    assert [each["cost_nano_usd"] for each in told["requests"]] == [str(2**40)] * 2, "64 bits are text in JSON"
    assert told["workers"][0]["kv_usage"] == 0.5
    assert "loading_progress" not in told["workers"][0]
    assert (await http.get("/api/v1/overview", params={"secrets": 1})).status_code == 400
