"""`hybrid requests`: the last rows of the ledger."""

import asyncio
import os
import pathlib
from typing import Any

import asyncpg

from services.cli import ledger, surroundings
from services.cli.problem import Problem
from services.cli.state import MeshState
from services.cli.up import load


def recent(mesh: MeshState, limit: int) -> list[dict[str, Any]]:
    """The last requests, newest first.

    Raises:
        Problem: the database does not answer, or has no ledger.
    """
    try:
        return asyncio.run(ledger.recent(_dsn(mesh), limit))
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise Problem(f"the ledger cannot be read: {error}; `hybrid status` says what is missing") from error


def _dsn(mesh: MeshState) -> str:
    if mesh.dsn is not None:
        return mesh.dsn
    # With a password in it, so it is nowhere but in the configuration.
    dsn = load(pathlib.Path(mesh.config), surroundings.environment(os.environ)).ledger.dsn
    return dsn.get_secret_value() if dsn else ""
