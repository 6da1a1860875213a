"""Bringing the ledger's tables up to date, with dbmate; at a start those of an embedded server, others when told to."""

import os
import pathlib
import sys
from collections.abc import Mapping

from services.cli.spec import Spec

NAME = "migrations"

# One at a time, whoever runs them: the second waits, and finds nothing left to do.
_ALONE = ("--migration-lock", "--migration-lock-timeout", "60s")


def spec(dsn: str, directory: pathlib.Path, environment: Mapping[str, str], *, after: tuple[str, ...]) -> Spec:
    """A step that makes an embedded server's database where there is none, and applies what has not been applied."""
    return Spec(
        name=NAME,
        command=command(directory, "up"),
        environment=environment_of(dsn, environment),
        tier=1,
        after=after,
        once=True,
    )


def check(config: pathlib.Path, environment: Mapping[str, str]) -> Spec:
    """A step that applies nothing: it ends well where your server has the tables that this release knows."""
    return Spec(
        name=NAME,
        command=(sys.executable, "-m", "services.gateway.schema", "--config", str(config)),
        environment=environment,
        tier=1,
        once=True,
    )


def command(directory: pathlib.Path, verb: str) -> tuple[str, ...]:
    """The command line of dbmate. `verb` is `up`, which makes the database where there is none, or `migrate`."""
    dbmate = pathlib.Path(sys.executable).with_name("dbmate")
    where = ("--env-file", os.devnull, "--migrations-dir", str(directory), "--no-dump-schema")
    return (str(dbmate), *where, *_ALONE, verb)


def environment_of(dsn: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What dbmate finds in its environment."""
    # Not an argument: everyone on the host can read those, and there may be a password in it.
    return {**environment, "DATABASE_URL": dsn}
