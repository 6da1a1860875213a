"""A supervisor over stand-ins: `mesh_of_standins.py HOME [NAME=HOW ...]`. Says `ready` on standard output.

`store` is stopped last; `left` and `right` need it; `front` needs both.
After SIGUSR1 `new` is there instead of `right`, after SIGUSR2 it is as it was.
"""

import asyncio
import functools
import os
import pathlib
import signal
import sys

from services.cli import readiness
from services.cli.children import open_children
from services.cli.home import Home
from services.cli.lock import locked
from services.cli.problem import Problem
from services.cli.spec import Spec
from services.cli.state import MeshPhase, MeshState, ProcessState
from services.cli.supervisor import Supervisor

STANDIN = pathlib.Path(__file__).with_name("standin.py")


class Said:
    """Progress for the test that reads our standard output, and in `told` what became of the processes."""

    def process(self, state: ProcessState) -> None:
        with pathlib.Path("told").open("a") as told:
            told.write(f"{state.name} {state.state}\n")

    def phase(self, phase: MeshPhase) -> None:
        print(phase, flush=True)

    def ready(self, welcome: str) -> None:
        pass

    def close(self) -> None:
        pass


def spec(name: str, tier: int, how: str, *after: str) -> Spec:
    return Spec(
        name=name,
        command=(sys.executable, str(STANDIN), name, *([how] if how else [])),
        environment=os.environ,
        tier=tier,
        after=after,
        ready=functools.partial(readiness.grpc_serving, f"unix:run/{name}.sock"),
        # Short where it is waited for in full.
        stop_seconds=1.0 if how == "deaf" else 30.0,
    )


async def run(home: Home, lock: int, hows: dict[str, str]) -> None:
    specs = [
        spec("store", 0, hows.get("store", "")),
        spec("left", 1, hows.get("left", ""), "store"),
        spec("right", 1, hows.get("right", ""), "store"),
        spec("front", 2, hows.get("front", ""), "left", "right"),
    ]
    state = MeshState(os.getpid(), "starting", "none", "none", (), None, ())
    async with open_children(home, lock) as children:
        supervisor = Supervisor(specs, mesh=state, welcome="", home=home, children=children, progress=Said())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, supervisor.stop)
        other = [spec("left", 1, hows.get("left", "")), spec("new", 1, hows.get("new", ""))]
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, supervisor.adopt, other)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, supervisor.adopt, specs[1:3])
        await supervisor.run()


def main() -> None:
    home = Home(pathlib.Path(sys.argv[1]))
    try:
        with locked(home) as lock:
            os.chdir(home.path)
            asyncio.run(run(home, lock, dict(argument.split("=") for argument in sys.argv[2:])))
    except Problem as problem:
        sys.exit(str(problem))


main()
