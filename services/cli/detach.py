"""`hybrid up --detach`: a supervisor of its own session, and waiting until it is ready."""

import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
from typing import Any

from services.cli import logfile, surroundings
from services.cli.home import Home
from services.cli.lock import released
from services.cli.problem import Problem
from services.cli.progress import Pipe, Progress, to_terminal
from services.cli.state import ProcessState
from services.cli.up import up

_STOP_SECONDS = 60.0


def start(
    home: Home, config_file: pathlib.Path, port: int | None, *, observed: bool = False, host: str | None = None
) -> None:
    """Start a supervisor that stays, and return when the mesh is ready. Ctrl-C until then stops it.

    Raises:
        Problem: it did not start; its own words are in the message.
    """
    home.prepare()
    progress = to_terminal()
    log = home.log("supervisor")
    read, write = os.pipe()
    output = logfile.open_log(log)
    since = logfile.size(log)
    arguments = ["up", "--home", str(home.path), "--config", str(config_file), "--progress-fd", str(write)]
    arguments += ["--observability"] if observed else []
    arguments += [*(("--port", str(port)) if port else ()), *(("--host", host) if host else ())]
    supervisor = subprocess.Popen(
        [sys.executable, "-m", "services.cli", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=surroundings.environment(os.environ),
        pass_fds=(write,),
        start_new_session=True,
    )
    os.close(write)
    os.close(output)
    try:
        with os.fdopen(read, encoding="utf-8") as events:
            for line in events:
                if _take(line, progress):
                    # It goes on without us, and it is not ours to wait for.
                    supervisor.returncode = 0
                    return
    except KeyboardInterrupt:  # also from SIGTERM
        supervisor.send_signal(signal.SIGTERM)
        released(home, _STOP_SECONDS)
        raise
    finally:
        progress.close()
    code = supervisor.wait(_STOP_SECONDS)
    if code == 0:
        raise Problem("the mesh was stopped before it was ready")
    lines = "\n".join(logfile.tail(log, since=since))
    raise Problem(f"the supervisor ended ({code}) before the mesh was ready; the last lines of {log}:\n{lines}")


def serve(
    home: Home,
    config_file: pathlib.Path,
    port: int | None,
    descriptor: int,
    *,
    observed: bool = False,
    host: str | None = None,
) -> None:
    """Be that supervisor; `descriptor` leads to the command that waits.

    Raises:
        Problem: as `up`.
    """
    pipe = Pipe(descriptor)
    try:
        stopped_by = f"`hybrid down --home {shlex.quote(str(home.path))}`"
        up(home, config_file, port, pipe, stopped_by=stopped_by, observed=observed, host=host)
    except Problem as problem:
        pipe.failed(str(problem), problem.code)
        raise
    finally:
        pipe.close()


def _take(line: str, progress: Progress) -> bool:
    """Pass on one event; True when the mesh is ready."""
    event: dict[str, Any] = json.loads(line)
    if "failed" in event:
        raise Problem(event["failed"], code=event["code"])  # it ends by itself
    if "process" in event:
        progress.process(ProcessState(**event["process"]))
    elif "phase" in event and event["phase"] != "ready":
        progress.phase(event["phase"])
    elif "ready" in event:
        progress.ready(event["ready"])
        return True
    return False
