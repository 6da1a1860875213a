"""Has router, gateways and admin process read their configuration again, and finds out what became of it."""

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import time
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from services.cli import admin, logfile
from services.cli.home import Home
from services.cli.state import ProcessState
from services.config.mesh import MeshConfig

_SECONDS = 10.0
_PAUSE_SECONDS = 0.05
_READERS = re.compile(r"admin|(router|gateway)(-\d+)?")


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """Which processes use a configuration by now, and for the others why they do not."""

    by: tuple[str, ...] = ()
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class _Use:
    version: str
    refusals: int


async def tell(home: Home, config: MeshConfig, processes: tuple[ProcessState, ...]) -> Taken:
    """Have those of the processes that can read the file again, and wait until each has."""
    readers = [process for process in processes if _READERS.fullmatch(process.name)]
    answers = await asyncio.gather(*(_tell(home, config, process) for process in readers))
    told = {process.name: why for process, why in zip(readers, answers, strict=True)}
    return Taken(tuple(name for name, why in told.items() if not why), {n: why for n, why in told.items() if why})


async def _tell(home: Home, config: MeshConfig, process: ProcessState) -> str:
    """Why a process does not use the configuration; empty where it does."""
    if process.state != "ready" or process.pid is None:
        return f"it is {process.state}, and reads the file when it starts"
    log = home.log(process.name)
    try:
        before, since = await _use(home, config, process.name), logfile.size(log)
        os.kill(process.pid, signal.SIGHUP)
        until = time.monotonic() + _SECONDS
        while True:
            now = await _use(home, config, process.name)
            if now.refusals > before.refusals:
                return _reason(log, since)
            if now.version == config.version:
                return ""
            if time.monotonic() > until:
                return f"it uses {now.version}, not {config.version}; are variables set otherwise there? See {log}"
            await asyncio.sleep(_PAUSE_SECONDS)
    except (OSError, ValueError) as error:
        return f"it does not answer ({error}); if it has just ended, its successor reads the file"


async def _use(home: Home, config: MeshConfig, name: str) -> _Use:
    """What a process says of its configuration in its metrics.

    Raises:
        OSError: nobody answers.
        ValueError: the answer is none.
    """
    text = await _scraped(home.path, config.metrics_address(name))
    version, refusals = "", 0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "hybrid_config_info":
                version = sample.labels["version"]
            elif sample.name == "hybrid_config_reloads_total" and sample.labels["result"] == "refused":
                refusals = int(sample.value)
    return _Use(version, refusals)


async def _scraped(home: pathlib.Path, address: str) -> str:
    async with asyncio.timeout(_SECONDS):
        if address.startswith("unix:"):
            reader, writer = await admin.connected(home / address.removeprefix("unix:"))
        else:
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        try:
            writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
            await writer.drain()
            return (await reader.read()).partition(b"\r\n\r\n")[2].decode()
        finally:
            writer.close()


def _reason(log: pathlib.Path, since: int) -> str:
    for line in reversed(logfile.tail(log, since=since, lines=1000)):
        with contextlib.suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict) and said.get("event") == "config.refused":
                return "; ".join(said["problems"])
    return f"{log} says why"
