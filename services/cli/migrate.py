"""`hybrid migrate`: brings the tables of a PostgreSQL of yours up to date."""

import os
import pathlib
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Mapping, Sequence

from services.cli import migrations, surroundings
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.up import load

# A migration that copies a big ledger may take its time; it waits for no lock longer than it says itself.
_LONGEST_SECONDS = 4 * 3600.0
_CHECK_SECONDS = 60.0


def migrate(dsn: str, directory: pathlib.Path = surroundings.MIGRATIONS) -> str:
    """Apply what has not been applied; returns what was done, for people.

    Args:
        dsn: the database, which is there already.
        directory: of the migrations.

    Raises:
        Problem: it does not answer, refuses, or is in use; or it has migrations that this release does not know. Each
            migration is done wholly or not at all, so this can be run again.
    """
    environment = surroundings.environment(os.environ)
    applying = migrations.command(directory, "migrate")
    done = _run(applying, migrations.environment_of(dsn, environment), _LONGEST_SECONDS)
    said = _without_password(done.stdout + done.stderr, dsn)
    if done.returncode:
        raise Problem(_told(said))
    # Whether it now is what this release knows, in the very words of those that will be started.
    checking = _run((sys.executable, "-m", "services.gateway.schema"), environment, _CHECK_SECONDS, said=dsn)
    if checking.returncode:
        raise Problem(checking.stderr.strip())
    applied = re.findall(r"^Applied: (\S+)", said, re.MULTILINE)
    return "\n".join(f"applied {name}" for name in applied) or "nothing to apply: the tables are up to date"


def dsn_of(home: Home, config: pathlib.Path | None, dsn: str | None) -> str:
    """The database that is meant: the one that is named, else that of the configuration.

    Raises:
        Problem: there is none, or everybody on this host could read its password.
    """
    if dsn is not None:
        _require_no_password(dsn)
        return dsn
    file = surroundings.chosen_config(config, home)
    found = load(file, surroundings.environment(os.environ)).ledger.dsn
    if found is None:
        raise Problem(
            f"{file} has no ledger.dsn: the embedded PostgreSQL is migrated whenever the mesh starts; "
            "--config or --dsn names a database of yours",
            code=2,
        )
    return found.get_secret_value()


def _require_no_password(dsn: str) -> None:
    parts = urllib.parse.urlsplit(dsn)
    if parts.password or "password" in urllib.parse.parse_qs(parts.query):
        raise Problem(
            "everybody on this host can read a password that is an argument: give it in a file that PGPASSFILE names, "
            "or give the configuration with --config",
            code=2,
        )


def _run(
    command: Sequence[str], environment: Mapping[str, str], seconds: float, said: str = ""
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, env=environment, input=said, check=False, capture_output=True, text=True, timeout=seconds
        )
    except FileNotFoundError as error:
        raise Problem(f"{command[0]} is not there; `make setup` makes it") from error
    except subprocess.TimeoutExpired as error:
        raise Problem(f"it took longer than {seconds:.0f} s and was given up; it can be run again") from error


def _without_password(said: str, dsn: str) -> str:
    """What a program said, which may quote the DSN."""
    for secret in re.findall(r"://[^/?#]*?:([^/?#]*)@", dsn) + re.findall(r"[?&]password=([^&]*)", dsn):
        for form in filter(None, (secret, urllib.parse.unquote(secret))):
            said = said.replace(form, "***")
    return said


def _told(said: str) -> str:
    reason = next((line for line in said.splitlines() if line.startswith("Error: ")), "").removeprefix("Error: ")
    if "lock timeout" in said:
        return (
            "a table is in use, and the migration has given up waiting for it; nothing of it was done. Run `hybrid "
            "migrate` again once the transaction that has it is over: the oldest in pg_stat_activity, by xact_start"
        )
    return f"the ledger cannot be migrated: {reason or 'dbmate says nothing'}"
