"""Bringing the ledger's tables up to date, with dbmate."""

import pathlib
import sys
from collections.abc import Mapping

from services.cli.spec import Spec

NAME = "migrations"


def spec(dsn: str, directory: pathlib.Path, environment: Mapping[str, str], *, after: tuple[str, ...]) -> Spec:
    """A step that makes the database where there is none, and applies what has not been applied."""
    return Spec(
        name=NAME,
        command=(
            str(pathlib.Path(sys.executable).with_name("dbmate")),
            *("--migrations-dir", str(directory), "--no-dump-schema", "up"),
        ),
        # Not an argument: everyone on the host can read those, and there may be a password in it.
        environment={**environment, "DATABASE_URL": dsn},
        tier=1,
        after=after,
        once=True,
    )
