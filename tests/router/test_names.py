"""Workers that are found by a name: one at each of its addresses, as they come and go."""

import asyncio
from collections.abc import Sequence

import pytest

from services.chassis import config as files
from services.chassis.config import ConfigError
from services.config.mesh import MeshConfig
from services.config.places import WorkerPlace, spread
from services.router.names import Names, resolve
from tests.fakes import eventually
from tests.router.scene import Scene, report

NAMED = """
encrypted_network: true
providers:
  main: {kind: echo, models: [pm], workers: ["dns:///echo.mesh:7100", "10.0.0.9:7100"]}
models: [{name: m, routes: [{provider: main}]}]
router: {slow_start_seconds: 0}
"""
NAME = "dns:///echo.mesh:7100"


def read(text: str) -> MeshConfig:
    return files.parse(text, MeshConfig, source="mesh.yaml", environment={})


class Dns:
    """Answers what a test has it answer."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: Sequence[str] = addresses

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("echo.mesh", 7100)
        if not self.addresses:
            raise OSError("no such name")
        return [f"{address}:{port}" for address in self.addresses]


def test_a_name_stands_for_a_worker_at_each_of_its_addresses_and_an_address_is_always_the_same_one() -> None:
    place = WorkerPlace("main-0", "main", NAME)
    found = {NAME: ("10.0.0.1:7100", "[fd00::1]:7100")}
    assert spread(place, found) == (
        WorkerPlace("main-0-10-0-0-1", "main", "10.0.0.1:7100", "main-0"),
        WorkerPlace("main-0-fd00--1", "main", "[fd00::1]:7100", "main-0"),
    )
    assert spread(place, {}) == (place,)
    assert place.listen == "0.0.0.0:7100"


@pytest.mark.parametrize(
    "address",
    [
        "dns:///echo",
        "dns:///echo:port",
        "dns:///a/b:1",
        "dns:///[::1]:7100",
        "dns:///a..b:1",
        "dns:///.:1",
        f"dns:///{'x' * 64}.mesh:1",
    ],
)
def test_what_is_no_name_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="is no name of DNS: dns:///HOST:PORT"):
        read(NAMED.replace(NAME, address))


async def test_a_name_that_leads_nowhere_keeps_what_it_had() -> None:
    dns = Dns("10.0.0.2", "10.0.0.1", "10.0.0.1")
    names = Names(read(NAMED), resolve=dns)
    assert await names.look()
    assert names.found == {NAME: ("10.0.0.1:7100", "10.0.0.2:7100")}
    assert not await names.look()
    dns.addresses = ()
    assert not await names.look()
    assert names.found == {NAME: ("10.0.0.1:7100", "10.0.0.2:7100")}
    dns.addresses = ("10.0.0.3",)
    assert await names.look()
    assert names.found == {NAME: ("10.0.0.3:7100",)}


async def test_what_nobody_can_look_up_leads_nowhere_and_ends_nothing() -> None:
    async def unreadable(host: str, port: int) -> Sequence[str]:
        return await resolve("x" * 70, port)

    names = Names(read(NAMED), resolve=unreadable)
    await names.look()
    assert names.found == {NAME: ()}


async def test_workers_come_and_go_with_their_addresses_and_what_runs_is_answered_for() -> None:
    dns = Dns("10.0.0.1", "10.0.0.2")
    names = Names(read(NAMED), resolve=dns, every_seconds=0.01)
    scene = Scene(read(NAMED), healthy=False)

    def moved() -> None:
        scene.roster.found = names.found
        scene.reconfigure(scene.config)

    await names.look()
    moved()
    assert set(scene.roster.workers) == {"main-0-10-0-0-1", "main-0-10-0-0-2", "main-1"}
    for name in ("main-0-10-0-0-1", "main-0-10-0-0-2"):
        scene.report(name, report())
    placed = [scene.place() for _ in range(2)]
    assert {each.address for each in placed} == {"10.0.0.1:7100", "10.0.0.2:7100"}
    stays = scene.roster.workers["main-0-10-0-0-1"]
    following = asyncio.create_task(names.follow(moved))
    try:
        dns.addresses = ("10.0.0.1", "10.0.0.3")
        await eventually(lambda: "main-0-10-0-0-3" in scene.roster.workers, seconds=30)
    finally:
        following.cancel()
    assert scene.roster.workers["main-0-10-0-0-1"] is stays
    assert set(scene.roster.leaving) == {"main-0-10-0-0-2"}
    for each in placed:
        scene.end(each)
    assert scene.roster.forget_idle()
    assert not scene.roster.leaving


async def test_a_name_is_looked_up_where_this_machine_looks() -> None:
    assert "127.0.0.1:7100" in await resolve("localhost", 7100)
