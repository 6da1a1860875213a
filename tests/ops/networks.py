"""Hosts that are network namespaces, joined by a bridge; their links can be cut, and they can be killed. Needs root."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator

from tests.mesh.driver import Mesh

SECONDS = 30.0
_NETWORK = "10.77.0"
_CLONE_NEWNET = 0x40000000


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class Network:
    """A bridge in a namespace of its own: nothing of it is seen from outside, and nothing outside from there."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bridge = f"{name}-bridge"
        self._count = 0
        self._namespaces = [self._bridge]
        _run("ip", "netns", "add", self._bridge)
        _run("ip", "-n", self._bridge, "link", "add", "bridge", "type", "bridge")
        _run("ip", "-n", self._bridge, "link", "set", "bridge", "up")

    def join(self, host: str) -> str:
        """Another host; its address."""
        self._count += 1
        namespace, address = self.namespace(host), f"{_NETWORK}.{self._count}"
        _run("ip", "netns", "add", namespace)
        self._namespaces.append(namespace)
        ends = ("type", "veth", "peer", "name", "eth0", "netns", namespace)
        _run("ip", "-n", self._bridge, "link", "add", host, *ends)
        _run("ip", "-n", self._bridge, "link", "set", host, "master", "bridge", "up")
        _run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _run("ip", "-n", namespace, "link", "set", device, "up")
        return address

    def namespace(self, host: str) -> str:
        """What the kernel calls it."""
        return f"{self._name}-{host}"

    def within(self, host: str) -> tuple[str, ...]:
        """The beginning of a command line that runs there."""
        return ("ip", "netns", "exec", self.namespace(host))

    def enter(self, host: str) -> None:
        """Have sockets of this thread be of that host, from now on."""
        with pathlib.Path(f"/run/netns/{self.namespace(host)}").open() as file:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(file.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def cut(self, host: str) -> None:
        """Lose every packet from there and to there, without a word to anybody."""
        _run("ip", "-n", self._bridge, "link", "set", host, "down")

    def heal(self, host: str) -> None:
        """Have packets pass again."""
        _run("ip", "-n", self._bridge, "link", "set", host, "up")

    def kill(self, host: str) -> None:
        """End every process there at once, and let nobody hear of it."""
        self.cut(host)
        self._end(self.namespace(host))

    def remove(self) -> None:
        """End what runs in the namespaces, and remove them."""
        for namespace in self._namespaces:
            self._end(namespace)
            _run("ip", "netns", "delete", namespace)

    def _end(self, namespace: str) -> None:
        until = time.monotonic() + SECONDS
        while running := _run("ip", "netns", "pids", namespace).split():
            assert time.monotonic() < until, f"{namespace}: {running} do not end"
            for pid in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            time.sleep(0.02)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A network that is gone afterwards, with all that runs there."""
    made = Network(f"hy{os.getpid()}")
    try:
        yield made
    finally:
        made.remove()


class Host(Mesh):
    """A host's part of a mesh."""

    def __init__(self, name: str, home: pathlib.Path, config: str, within: tuple[str, ...]) -> None:
        super().__init__(home, config)
        self.name = name
        self.within = within

    def up(self, *, timeout: float = 180.0) -> None:
        done = self.hybrid("up", "--detach", "--host", self.name, timeout=timeout)
        assert done.returncode == 0, f"{self.name}: {done.stdout}\n{done.stderr}"


@contextlib.contextmanager
def hosts(joined: Network, config: str, *names: str) -> Iterator[dict[str, Host]]:
    """Those hosts of a configuration, none of them up."""
    homes = {name: pathlib.Path(tempfile.mkdtemp(prefix=f"hi-{name}-")) for name in names}
    try:
        yield {name: Host(name, home, config, joined.within(name)) for name, home in homes.items()}
    finally:
        for home in homes.values():
            shutil.rmtree(home, ignore_errors=True)
