"""The OpenAPI document, as a real Envoy serves it."""

import pathlib

import pytest

pytestmark = [pytest.mark.edge, pytest.mark.asyncio(loop_scope="module")]

FILE = pathlib.Path(__file__).parents[2] / "infrastructure" / "envoy" / "openapi.json"


async def test_the_document_is_served_as_it_is(http):
    reply = await http.get("/openapi.json")
    assert (reply.status_code, reply.headers.get_list("content-type")) == (200, ["application/json"])
    assert reply.content == FILE.read_bytes()


async def test_any_page_may_read_it(http):
    reply = await http.get("/openapi.json", headers={"origin": "https://editor.example"})
    assert reply.headers.get_list("access-control-allow-origin") == ["*"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_it_can_only_be_read(http, method):
    reply = await http.request(method, "/openapi.json")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "unknown_url")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/generate"])
async def test_a_header_that_grpc_has_no_name_for_is_passed_over(http, path):
    odd = {"x-a*b": "1", "x|y": "2", "x'z": "3", "x-even_more.so": "4"}
    assert (await http.post(path, json={"model": "any"}, headers=odd)).status_code == 200
