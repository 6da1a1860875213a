"""The directory that a mesh lives in."""

import dataclasses
import os
import pathlib
import stat

from services.cli.problem import Problem


@dataclasses.dataclass(frozen=True, slots=True)
class Home:
    """Where things are. `path` is absolute; it is the working directory of every process of the mesh."""

    path: pathlib.Path

    @property
    def run(self) -> pathlib.Path:
        """Sockets and state of the running mesh; empty when nothing runs."""
        return self.path / "run"

    @property
    def logs(self) -> pathlib.Path:
        """One log per process."""
        return self.path / "logs"

    @property
    def postgres(self) -> pathlib.Path:
        """Data and socket of the embedded PostgreSQL."""
        return self.path / "postgres"

    @property
    def state(self) -> pathlib.Path:
        """What the supervisor says of itself and its processes."""
        return self.run / "supervisor.json"

    @property
    def pid(self) -> pathlib.Path:
        """The supervisor's process id."""
        return self.path / "supervisor.pid"

    @property
    def config(self) -> pathlib.Path:
        """The configuration that is used when none is named."""
        return self.path / "hybrid.yaml"

    def log(self, name: str) -> pathlib.Path:
        """The log of one process."""
        return self.logs / f"{name}.log"

    def prepare(self) -> None:
        """Create what is missing, and see to it that nobody else can enter `run` and `logs`.

        Raises:
            Problem: a directory cannot be made, or belongs to somebody else.
        """
        try:
            for directory in (self.path, self.logs, self.run):
                # Nobody else's business either, until its owner says otherwise.
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Problem(
                f"{self.path} cannot be used as home: {error.strerror}; choose another with --home"
            ) from error
        for directory in (self.logs, self.run):
            found = directory.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                raise Problem(f"{directory} is not a directory of yours; remove it, or choose another home with --home")
            directory.chmod(0o700)
