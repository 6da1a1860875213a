"""The mesh that runs in a home, as the commands that talk to it find it."""

from services.cli import lock, state
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.state import MeshState


def running(home: Home) -> MeshState | None:
    """The mesh that runs there, or None."""
    # The file alone says nothing: a machine that lost power leaves one behind.
    return state.read(home) if lock.held(home) else None


def required(home: Home) -> MeshState:
    """The mesh that runs there.

    Raises:
        Problem: none does.
    """
    found = running(home)
    if found is None:
        raise Problem(f"no mesh is running in {home.path}; `hybrid up --home {home.path}` starts one")
    return found


def reachable(home: Home) -> MeshState:
    """The mesh that runs there, or the one of the home's configuration that others run: systemd, or containers.

    Of that nothing is known but what the configuration says, and whether it runs is seen when it is called.

    Raises:
        Problem: there is neither.
    """
    found = running(home)
    if found is not None or not home.config.exists():
        return found or required(home)
    from services.cli import described

    return described.state(home)
