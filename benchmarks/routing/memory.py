"""What was found of the published rules: they do not change from day to day, so they need not be played again."""

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import orjson

from benchmarks.routing.cases import Material
from benchmarks.routing.contenders import is_ours
from services.router.simulator.runs import spread

# Tasks that are played before what was found is written.
_BATCH = 26


class Task(Protocol):
    """Something to be played under a policy."""

    @property
    def policy(self) -> str:
        """Its name with its settings."""


_Task = TypeVar("_Task", bound=Task)
_Found = TypeVar("_Found")


class Memory:
    """Findings by their tasks, in a file of JSON lines; without a file, in this process only.

    Our own policies are always played anew. Whoever changes a published rule, the simulator or the decision core has to
    delete the file.
    """

    def __init__(self, path: pathlib.Path | None) -> None:
        self._path = path
        self._found: dict[str, Any] = {}
        if path is not None and path.exists():
            self._found = dict(orjson.loads(line) for line in path.read_bytes().splitlines())

    def each(
        self, material: Material, work: Callable[[Material, _Task], _Found], tasks: Sequence[_Task], jobs: int
    ) -> list[_Found]:
        """What `work` makes of each task, in their order; plain data. Tasks are told apart by their `repr`."""
        about = f"{work.__name__} {material.requests} {material.half} "
        found: dict[str, _Found] = {}
        for task in tasks:
            if not is_ours(task.policy) and about + repr(task) in self._found:
                found[repr(task)] = self._found[about + repr(task)]
        missing = [task for task in tasks if repr(task) not in found]
        for batch in [missing[at : at + _BATCH] for at in range(0, len(missing), _BATCH)]:
            done = spread(functools.partial(work, material), batch, jobs)
            found |= {repr(task): one for task, one in zip(batch, done, strict=True)}
            self._keep({about + repr(task): found[repr(task)] for task in batch if not is_ours(task.policy)})
        return [found[repr(task)] for task in tasks]

    def _keep(self, found: dict[str, Any]) -> None:
        self._found |= found
        if self._path is not None:
            with self._path.open("ab") as file:
                file.writelines(orjson.dumps(pair) + b"\n" for pair in found.items())
