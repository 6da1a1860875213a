"""What went wrong while setting up, and what to do about it."""

from __future__ import annotations

import errno
import re
from pathlib import Path

TAIL_LINES = 15

DISK_FULL = ("the disk is full", "free some space (the engine needs about 5 GB) and run this again")
UNWRITABLE = ("it cannot be written", "set HYBRID_CACHE to a directory you own")

# First match wins: a failed connection also ends in "No matching distribution", so the network comes before it.
CAUSES = (
    (r"No space left on device|Errno 28", *DISK_FULL),
    (
        r"DO NOT MATCH THE HASHES",
        "a downloaded file is not the one the lock names",
        """empty pip's cache (python3.11 -m pip cache purge) and run this again; if it happens again,
       the package index or a mirror serves a changed file: do not install it, and report it""",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError",
        "the package index's certificate was not accepted",
        "behind a proxy that inspects TLS, point pip at its certificate: pip config set global.cert FILE",
    ),
    (
        # Of torch's own index, which is asked for nothing else and only by the CPU engine.
        r"connection broken by .*/whl/cpu/",
        "torch's CPU build lies at download.pytorch.org, which could not be reached",
        """check the network, or HTTPS_PROXY; or fetch the file that the log names elsewhere, and run
       pip config set global.find-links DIRECTORY""",
    ),
    (
        r"name resolution|Name or service|Connection refused|unreachable|(Connection|Timeout|Proxy|Reset)Error",
        "the package index could not be reached",
        "check the network; behind a proxy set HTTPS_PROXY, with a mirror use pip config set global.index-url URL",
    ),
    (
        r"ensurepip is not available|No module named '?(ensurepip|venv)",
        "this Python comes without venv",
        "on Debian and Ubuntu: apt-get install python3.11-venv",
    ),
    (
        r"No matching distribution|is not a supported wheel on this platform",
        "a package has no file for this machine",
        "the locks are for x86-64 Linux with glibc 2.31 or newer",
    ),
    (r"Permission denied|Read-only file system", *UNWRITABLE),
)


class SetupError(Exception):
    """A step that failed: what happened, what to do, and where pip's own words are."""

    def __init__(self, problem: str, remedy: str, log: Path | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.log = log

    def __str__(self) -> str:
        lines = []
        if self.log is not None and self.log.exists():
            tail = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
            lines += [f"  | {line}" for line in tail] + [f"  ({self.log})"]
        return "\n".join([*lines, f"error: {self.problem}", f"to do: {self.remedy}"])


def diagnose(step: str, log: Path) -> SetupError:
    """Name the cause of a failed step from its log."""
    text = log.read_text(errors="replace") if log.exists() else ""
    for pattern, problem, remedy in CAUSES:
        if re.search(pattern, text):
            return SetupError(f"{step}: {problem}", remedy, log)
    return SetupError(f"{step} failed", "read the log above; running this again starts the step afresh", log)


def explain(error: OSError) -> SetupError:
    """The same for an error of the operating system in our own code."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SetupError(*DISK_FULL)
    where = error.filename or "the cache"
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        problem, remedy = UNWRITABLE
        return SetupError(f"{where}: {problem}", remedy)
    return SetupError(f"{where}: {error.strerror or error}", "mend that and run this again")
