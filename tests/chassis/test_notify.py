import asyncio
import os
import pathlib
import socket
import time
import uuid
from collections.abc import Iterator

import pytest

from services.chassis import notify
from services.chassis.notify import Notifier

_SECONDS = 30.0


class Manager:
    """The manager's end of the protocol."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """Datagrams that have come so far."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found

    async def next(self) -> str:
        async with asyncio.timeout(_SECONDS):
            return (await asyncio.get_running_loop().sock_recv(self.socket, 4096)).decode()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Manager]:
    found = Manager(str(tmp_path / "notify") if request.param == "path" else f"@hybrid-{uuid.uuid4().hex}")
    yield found
    found.socket.close()


def test_what_is_told_is_what_the_protocol_says(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    notifier.loading(0.42)
    notifier.ready()
    notifier.stopping()
    assert manager.heard() == ["STATUS=loading, 42%", "READY=1\nSTATUS=serving", "STOPPING=1\nSTATUS=draining"]


def test_a_reload_is_told_with_its_moment_and_ends_ready_even_when_refused(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    notifier.ready()
    with pytest.raises(ValueError, match="refused"), notifier.reloading():
        raise ValueError("refused")
    _, began, ended = manager.heard()
    state, moment = began.splitlines()
    assert state == "RELOADING=1"
    assert moment.startswith("MONOTONIC_USEC=")
    assert int(moment.partition("=")[2]) > 0
    assert ended.startswith("READY=1")


def test_a_reload_makes_nobody_ready_who_still_starts_or_stops_already(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    with notifier.reloading():
        pass
    assert manager.heard() == []
    notifier.ready()
    with notifier.reloading():
        notifier.stopping()
    with notifier.reloading():
        pass
    said = [told.splitlines()[0] for told in manager.heard()]
    assert said == ["READY=1", "RELOADING=1", "STOPPING=1"]


async def test_it_says_that_it_lives_while_the_loop_runs_and_what_it_needs_does(manager: Manager) -> None:
    lives = iter([True, True, False])
    await Notifier(manager.address, watchdog_seconds=0.01).live(lambda: next(lives))
    assert manager.heard() == ["WATCHDOG=1"] * 2


async def test_a_loop_that_is_stuck_says_nothing(manager: Manager) -> None:
    living = asyncio.create_task(Notifier(manager.address, watchdog_seconds=0.02).live(lambda: True))
    assert await manager.next() == "WATCHDOG=1"
    manager.heard()
    time.sleep(0.1)  # noqa: ASYNC251  # the loop is stuck
    assert manager.heard() == []
    assert await manager.next() == "WATCHDOG=1"
    living.cancel()


async def test_without_a_watchdog_nothing_is_said_of_living(manager: Manager) -> None:
    await Notifier(manager.address).live(lambda: True)
    assert manager.heard() == []


def test_without_a_manager_nobody_is_told() -> None:
    notifier = notify.taken_from({"WATCHDOG_USEC": "1000000"}, 1)
    notifier.ready()
    assert notifier.watchdog_seconds == 0


def test_a_manager_that_is_gone_stops_nobody(tmp_path: pathlib.Path) -> None:
    Notifier(str(tmp_path / "gone")).ready()


@pytest.mark.parametrize(("pid", "seconds"), [("7", 3.0), ("", 3.0), ("8", 0.0)])
def test_the_watchdog_is_the_process_s_own(pid: str, seconds: float) -> None:
    environment = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": pid, "PATH": "/bin"}
    assert notify.taken_from(environment, 7).watchdog_seconds == seconds
    assert environment == {"PATH": "/bin"}


async def test_what_ends_the_process_is_told_as_it_is() -> None:
    with pytest.raises(ValueError, match="as it is"):
        async with notify.open_notifier():
            raise ValueError("as it is")


async def test_children_inherit_no_voice(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    async with notify.open_notifier() as notifier:
        assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & os.environ.keys()
        assert await manager.next() == "WATCHDOG=1"
        notifier.ready()
        assert (await manager.next()).startswith("READY=1")
