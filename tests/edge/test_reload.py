"""A real Envoy whose files are replaced while it runs: what is new is taken, what is wrong is not, nothing is cut."""

import asyncio
import json
import pathlib

import openai
import pytest

from services.chassis.config import ConfigError
from services.cli import edge_files, reload
from services.config.mesh import MeshConfig
from tests.edge.certificates import Authority
from tests.edge.conftest import CONFIG, Gateway

pytestmark = [pytest.mark.edge, pytest.mark.asyncio(loop_scope="module")]

ASK = [{"role": "user", "content": "x"}]


def configured(**edge):
    return MeshConfig.model_validate({**CONFIG, "edge": edge})


def listeners(envoy):
    return json.loads((envoy.home / edge_files.DIRECTORY / edge_files.LISTENERS).read_text())


async def applied(envoy, config):
    return await asyncio.to_thread(reload.apply, config, envoy.home)


async def size(http, bytes_):
    return (await http.post("/v1/chat/completions", json={"model": "size", "x": "y" * bytes_})).status_code


async def test_a_running_stream_survives_a_new_listener_and_new_requests_meet_it(envoy, gateway, http, sdk):
    assert await size(http, 5_000) == 200
    gateway.script.allowed.put_nowait("Pa")
    stream = aiter(await sdk.chat.completions.create(model="stream", messages=ASK, stream=True))
    await anext(stream)
    assert await applied(envoy, configured(limits={"request_bytes": 2_000})) is True
    # Also on a connection that was there before: it is given up with its next answer.
    await size(http, 5_000)
    assert await size(http, 5_000) == 413
    for text in ("ris", ""):
        gateway.script.allowed.put_nowait(text)
    assert [chunk.choices[0].delta.content async for chunk in stream] == ["ris", None]
    assert await applied(envoy, configured(limits={"request_bytes": 2_000})) is False, "there is nothing new"
    assert await applied(envoy, configured()) is True
    assert await size(http, 5_000) in (200, 413)
    assert await size(http, 5_000) == 200


async def test_where_it_listens_stays_as_it_is(envoy, http):
    assert await applied(envoy, configured(port=9, host="127.0.0.2", limits={"headers_kib": 50})) is True
    assert await size(http, 10) == 200
    await applied(envoy, configured())


async def test_an_envoy_that_is_started_again_begins_with_what_a_running_one_does_not_take_up(envoy):
    await applied(envoy, configured(limits={"connections": 321}))
    assert '"max_active_downstream_connections": 321' in (envoy.home / "run/envoy/bootstrap.json").read_text()
    await applied(envoy, configured())


async def test_what_cannot_work_is_refused_before_envoy_hears_of_it(envoy, http, tmp_path):
    authority = Authority()
    authority.write(tmp_path, "one")
    authority.write(tmp_path, "other")
    before, updates = listeners(envoy), await envoy.stat("listener_manager.lds.update_attempt")
    for key, why in (("other.key", "Envoy refuses it"), ("missing.key", "edge.tls.key.*No such file")):
        tls = {"certificate": f"{tmp_path}/one.crt", "key": f"{tmp_path}/{key}"}
        with pytest.raises(ConfigError, match=why):
            await applied(envoy, configured(tls=tls))
    assert (listeners(envoy), await envoy.stat("listener_manager.lds.update_attempt")) == (before, updates)
    assert await size(http, 10) == 200


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"stat_prefix": "edge"', '"stat_prefix": "edge", "carrier_pigeon": 1', "logs/envoy.log"),
        ("run/envoy/mesh-", "run/envoy/missing-", "missing-"),
    ],
)
async def test_what_envoy_refuses_is_told_and_the_old_serves_on(envoy, http, old, new, why):
    file = envoy.home / edge_files.DIRECTORY / edge_files.LISTENERS
    before = file.read_bytes()
    content = json.loads(before.decode().replace(old, new))
    content["version_info"] = f"with {new}"
    with pytest.raises(ConfigError, match=why):
        await reload.taken(envoy.home, edge_files.LISTENERS, json.dumps(content).encode())
    assert file.read_bytes() == before
    assert await size(http, 10) == 200


async def test_a_descriptor_set_is_taken_up_under_a_new_name(envoy, http):
    directory = envoy.home / "run/envoy"
    (old,) = directory.glob("mesh-*.pb")
    new = directory / "mesh-fresh.pb"
    new.write_bytes(old.read_bytes())
    content = json.dumps(listeners(envoy)).replace(old.name, new.name)
    changed = {**json.loads(content), "version_info": "fresh"}
    await reload.taken(envoy.home, edge_files.LISTENERS, json.dumps(changed).encode())
    old.rename(pathlib.Path(f"{old}.away"))
    await http.get("/healthz")
    assert await size(http, 10) == 200
    pathlib.Path(f"{old}.away").rename(old)


async def test_gateways_come_and_go_by_a_file_and_no_stream_is_cut(envoy, gateway, http, sdk):
    second = Gateway(f"unix:{envoy.home}/run/second.sock")
    await second.start()
    file = envoy.home / edge_files.DIRECTORY / edge_files.ENDPOINTS

    async def called(*sockets):
        content = json.loads(file.read_text())
        endpoints = [{"endpoint": {"address": {"pipe": {"path": f"run/{socket}.sock"}}}} for socket in sockets]
        content["resources"][0]["endpoints"] = [{"lb_endpoints": endpoints}]
        content["version_info"] = " ".join(sockets)
        await reload.taken(envoy.home, edge_files.ENDPOINTS, json.dumps(content).encode())
        async with asyncio.timeout(30):
            while await envoy.stat("cluster.gateway.membership_healthy") != len(sockets):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    try:
        gateway.script.allowed.put_nowait("Pa")
        stream = aiter(await sdk.chat.completions.create(model="stream", messages=ASK, stream=True))
        await anext(stream)
        gateway.script.begun.get_nowait()
        await called("gateway", "second")
        async with asyncio.timeout(30):
            while second.script.begun.empty():
                await sdk.chat.completions.create(model="any", messages=ASK)
        await called("second")
        while not gateway.script.begun.empty():
            gateway.script.begun.get_nowait()
        for _ in range(10):
            await sdk.chat.completions.create(model="any", messages=ASK)
        assert gateway.script.begun.empty()
        for text in ("ris", ""):
            gateway.script.allowed.put_nowait(text)
        assert [chunk.choices[0].delta.content async for chunk in stream] == ["ris", None]
    finally:
        await called("gateway")
        await second.stop()


async def test_an_envoy_that_is_away_is_told(tmp_path):
    directory = tmp_path / edge_files.DIRECTORY
    directory.mkdir(parents=True)
    (directory / edge_files.LISTENERS).write_text("{}")
    with pytest.raises(ConfigError, match="Envoy does not answer"):
        await reload.taken(tmp_path, edge_files.LISTENERS, b'{"version_info": "1"}')
    assert (directory / edge_files.LISTENERS).read_text() == "{}"


async def test_load_does_not_notice_new_listeners(envoy, sdk):
    ending = asyncio.Event()
    failed: list[openai.APIError] = []
    answered = 0

    async def call():
        nonlocal answered
        while not ending.is_set():
            try:
                await sdk.chat.completions.create(model="any", messages=ASK)
                answered += 1
            except openai.APIError as error:
                failed.append(error)

    calling = [asyncio.create_task(call()) for _ in range(8)]
    for seconds in (11, 12, 13, 14):
        await applied(envoy, configured(limits={"header_seconds": seconds}))
    await asyncio.sleep(0.2)
    ending.set()
    await asyncio.gather(*calling)
    assert not failed
    assert answered > 50
