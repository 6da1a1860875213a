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
