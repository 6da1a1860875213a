"""`hybrid requests` and `hybrid why`: rows of the ledger of a running mesh."""

import asyncio
import os
import pathlib
from collections.abc import Coroutine
from typing import Any, TypeVar

import asyncpg

from services.cli import ledger, surroundings
from services.cli.problem import Problem
from services.cli.state import MeshState
from services.cli.up import load

T = TypeVar("T")


def recent(mesh: MeshState, limit: int) -> list[dict[str, Any]]:
    """The last requests, newest first.

    Raises:
        Problem: the database does not answer, or has no ledger.
    """
    return read(ledger.recent(dsn_of(mesh), limit))


def found(mesh: MeshState, identity: str) -> list[dict[str, Any]]:
    """The requests that an id means.

    Raises:
        Problem: as `recent`.
    """
    return read(ledger.found(dsn_of(mesh), identity))


def read(reading: Coroutine[Any, Any, T]) -> T:
    """What is read of a ledger.

    Raises:
        Problem: the database does not answer, or has no ledger.
    """
    try:
        return asyncio.run(reading)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        why = str(error) or "its database does not answer"
        raise Problem(f"the ledger cannot be read: {why}; `hybrid status` says what is missing") from error


def dsn_of(mesh: MeshState) -> str:
    """Where the mesh's ledger is."""
    if mesh.dsn is not None:
        return mesh.dsn
    # With a password in it, so it is nowhere but in the configuration.
    dsn = load(pathlib.Path(mesh.config), surroundings.environment(os.environ)).ledger.dsn
    return dsn.get_secret_value() if dsn else ""
