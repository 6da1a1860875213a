"""Secrets as units know them: each is given to those that need it; what is a process's own is hidden from others."""

import pathlib
from collections.abc import Sequence

from services.chassis.mistake import Location
from services.cli import certs
from services.cli.problem import Problem
from services.config.mesh import MeshConfig

# In a unit's file these have a meaning, in some places at least.
_SPECIAL = frozenset(" \t\r\n\"'\\%$;#:")


def nameable(path: pathlib.Path | str) -> str:
    """A path that units can name.

    Raises:
        Problem: they cannot.
    """
    if _SPECIAL & set(str(path)):
        raise Problem(f"units cannot name {str(path)!r}: choose a path of letters, digits and -._/", code=2)
    return str(path)


class Given:
    """Secrets, each for the units that need it."""

    def __init__(self, secrets: Sequence[tuple[Location, pathlib.Path]]) -> None:
        named: dict[str, pathlib.Path] = {}
        for _, path in secrets:
            if named.setdefault(path.name, path) != path:
                raise Problem(f"{named[path.name]} and {path}: units know secrets by the last part alone", code=2)
        self._secrets = secrets

    def to(self, *part: str) -> list[str]:
        """Those of a part of the configuration, and those that stand in none that only some processes read."""
        mine = {
            path
            for location, path in self._secrets
            if location[0] not in ("providers", "ledger") or (part and location[: len(part)] == part)
        }
        return [f"LoadCredential={path.name}:{nameable(path)}" for path in sorted(mine)]


class Private:
    """Files that are some processes' own: of a home, and keys of certificates wherever they are."""

    def __init__(self, config: MeshConfig, home: pathlib.Path) -> None:
        operators = (each.credential for each in config.admin.operators)
        spools = (place.spool for place in config.gateways())
        self._home = home
        mtls = config.mtls
        self._keys = {name: mtls.of(name).key for name in certs.roles_of(config)} if mtls else {}
        self._edge = (config.edge.tls.key,) if config.edge.tls else ()
        # Whoever signs certificates is a person, and no process of the mesh.
        more = (*self._keys.values(), *self._edge, certs.DIRECTORY)
        self._paths = (config.access.pepper, config.gateway.tenant_key, *operators, *spools, *more)

    def but(self, *own: str, of: str = "") -> list[str]:
        """Lines that hide all of them but its own; not those that are not there yet when the unit starts.

        Args:
            own: what it is to see.
            of: the name of the process, which sees the keys of its own certificates.
        """
        seen = {*own, self._keys.get(of, ""), *(self._edge if of == "envoy" else ())}
        hidden = dict.fromkeys(path for path in self._paths if path not in seen)
        return [f"InaccessiblePaths=-{nameable(self._home / path)}" for path in hidden]
