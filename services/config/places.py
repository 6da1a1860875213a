"""Which process is where: names and addresses, and the host that runs each."""

import dataclasses
import pathlib
import re
from collections.abc import Collection, Mapping, Sequence

from services.chassis.mistake import meant
from services.config.loopback import is_loopback

# A worker's address that begins so is a name that leads to several workers, one at each of its addresses.
DNS = "dns:///"
NAMED = re.compile(r"dns:///[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?:[0-9]{1,5}")
_HOST_AND_PORT = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.%]+\]):([0-9]{1,5})")
_UNNAMED = re.compile(r"[^A-Za-z0-9]")


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerPlace:
    """One worker process: `name` is `<provider>-<index>`. By a name of DNS it stands for all that the name leads to.

    Attributes:
        one_of: the name of the place that stands for it; "" where it is in the configuration itself.
    """

    name: str
    provider: str
    address: str
    one_of: str = ""

    @property
    def by_name(self) -> bool:
        """Whether it stands for as many workers as there are at a name of DNS, which somebody else runs."""
        return self.address.startswith(DNS)

    @property
    def listen(self) -> str:
        """Where such a process listens: by a name, at every address of its host."""
        return f"0.0.0.0:{self.address.rpartition(':')[2]}" if self.by_name else self.address


def is_address(address: str) -> bool:
    """Whether a process can listen there: unix:PATH or HOST:PORT."""
    if address.startswith("unix:"):
        return len(address) > len("unix:")
    found = _HOST_AND_PORT.fullmatch(address)
    return found is not None and 0 < int(found[1]) < 65_536


def spread(worker: WorkerPlace, found: Mapping[str, Sequence[str]]) -> tuple[WorkerPlace, ...]:
    """The workers that a place stands for. One whose name leads nowhere yet stands for itself.

    Args:
        worker: the place.
        found: addresses by the name, as `HOST:PORT`.
    """
    addresses = found.get(worker.address, ())
    # An address is always the same worker, whoever comes and goes beside it.
    marks = [(address, _UNNAMED.sub("-", address.rpartition(":")[0].strip("[]"))) for address in addresses]
    spread = [WorkerPlace(f"{worker.name}-{mark}", worker.provider, address, worker.name) for address, mark in marks]
    return tuple(spread) or (worker,)


@dataclasses.dataclass(frozen=True, slots=True)
class GatewayPlace:
    """One gateway process with its spool and the loader of that: `gateway` and `loader`, `gateway-2` and `loader-2`."""

    name: str
    address: str
    spool: str
    loader: str


@dataclasses.dataclass(frozen=True, slots=True)
class RouterPlace:
    """One router process: `router`, `router-2`."""

    name: str
    address: str


@dataclasses.dataclass(frozen=True, slots=True)
class Instance:
    """One of several processes of a kind; `mark` is empty for the first, `-2` for the second."""

    mark: str
    address: str


def instances(listen: str | tuple[str, ...], count: int) -> tuple[Instance, ...]:
    """Where each of several processes listens: at the addresses of a list, or at one that is marked for each.

    Args:
        listen: an address for each, or a unix socket's for all.
        count: how many there are, where `listen` is no list.
    """
    if not isinstance(listen, str):
        return tuple(Instance(f"-{index + 1}" if index else "", address) for index, address in enumerate(listen))
    path = pathlib.PurePath(listen)
    marks = [f"-{index + 1}" if index else "" for index in range(count)]
    return tuple(
        Instance(mark, f"{listen.removesuffix(path.suffix)}{mark}{path.suffix}" if mark else listen) for mark in marks
    )


def mistake(listen: str | tuple[str, ...], count: int, *, counted: bool, what: str) -> str | None:
    """What is wrong with the addresses of several processes; None: nothing.

    Args:
        listen: an address for each, or one for all.
        count: how many there shall be.
        counted: whether the file says how many.
        what: what they are, in the plural.
    """
    if isinstance(listen, str):
        if count > 1 and not listen.startswith("unix:"):
            return f"{count} {what} need a list of {count} addresses"
    elif not listen:
        return "names no address"
    elif counted and count != len(listen):
        return f"has {len(listen)} addresses for {count} {what}"
    found = [each.address for each in instances(listen, count)]
    if len(set(found)) < len(found):
        return f"two {what} have the same address"
    return None


def unreachable(
    hosts: Mapping[str, tuple[str, ...]],
    addresses: Mapping[str, str],
    callers: Mapping[str, Collection[str]],
) -> tuple[str, str] | None:
    """A process that another host has to reach and cannot, and the address that is why; None: there is none.

    Args:
        hosts: by the name of a host, the processes that it runs.
        addresses: where each process listens.
        callers: by process, the processes that call it.
    """
    where = {name: host for host, names in hosts.items() for name in names if name in addresses}
    for name, address in addresses.items():
        if not (address.startswith("unix:") or is_loopback(address.rpartition(":")[0])):
            continue
        calling = {host for host, names in hosts.items() if not set(names).isdisjoint(callers[name])}
        if calling - {where[name]}:
            return name, address
    return None


def misplaced(hosts: Mapping[str, tuple[str, ...]], once: tuple[str, ...], anywhere: tuple[str, ...]) -> str | None:
    """What is wrong with who runs what; None: nothing.

    Args:
        hosts: by the name of a host, the processes that it runs.
        once: those that have to run on one.
        anywhere: those that may run on several hosts.
    """
    named = [name for each in hosts.values() for name in each]
    known = (*once, *anywhere)
    for name in named:
        if name not in known:
            return f"there is no process `{name}`; {meant(name, known)}"
        if name in once and named.count(name) > 1:
            return f"`{name}` is on two hosts"
    for name in once:
        if name not in named:
            return f"`{name}` is on no host"
    return None
