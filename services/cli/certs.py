"""`hybrid certs`: a private authority for trials, and certificates for the processes of a configuration."""

import dataclasses
import datetime
import os
import pathlib
from collections.abc import Sequence

from services.chassis.certificates import examine
from services.chassis.material import CertificateError, Material
from services.chassis.roles import Role
from services.cli import authority
from services.cli.home import Home
from services.cli.problem import Problem
from services.config.mesh import MeshConfig
from services.config.mtls import Mtls

# Beside the mesh, not in a path of `mtls`: the authority's key is for whoever issues, and no process reads it.
DIRECTORY = "authority"
_CERTIFICATE, _KEY = "ca.pem", "ca.key"


@dataclasses.dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that was written: whose, where, and until when it holds."""

    process: str
    path: pathlib.Path
    until: datetime.datetime


def init(directory: pathlib.Path, *, days: float, now: datetime.datetime) -> pathlib.Path:
    """Make an authority; its certificate's path. Its key is readable by its user alone.

    Raises:
        Problem: there is one already, or the directory cannot be written to.
    """
    certificate, key = directory / _CERTIFICATE, directory / _KEY
    for path in (certificate, key):
        if path.exists():
            raise Problem(f"{path} is there already, and certificates hang on it; name another place with --directory")
    made = authority.make(now=now, lasting=datetime.timedelta(days=days))
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(key, made.key)
        _write(certificate, made.certificate)
    except OSError as error:
        raise Problem(f"{directory} cannot be written to: {error.strerror}") from error
    return certificate


def issue(
    config: MeshConfig,
    home: Home,
    directory: pathlib.Path,
    *,
    processes: Sequence[str],
    days: float,
    now: datetime.datetime,
    left: float | None = None,
) -> list[Issued]:
    """Write certificates, with new keys, where `mtls` says; and add the authority to the file `mtls.ca`.

    Args:
        config: names processes and files.
        home: where relative paths start from.
        directory: the authority's.
        processes: whose; none means all.
        days: how long they hold.
        now: the moment.
        left: with it only those that are missing, cannot be used, or have no more than this share of `days` left.

    Raises:
        Problem: there is no `mtls`, no such process, no authority, a file cannot be written, or what stands in the file
            of authorities already is none.
    """
    if config.mtls is None:
        raise Problem(
            "the configuration has no `mtls`; add, for example, `mtls: {ca: tls/ca.pem, certificate: "
            "'tls/{process}.pem', key: 'tls/{process}.key'}`",
            code=2,
        )
    everybody = roles_of(config)
    unknown = [name for name in processes if name not in everybody]
    if unknown:
        raise Problem(f"no process {', '.join(unknown)}; there are: {', '.join(everybody)}", code=2)
    signer = _authority(directory)
    written = []
    for name in processes or everybody:
        paths = config.mtls.of(name)
        try:
            _believe(home.path / paths.ca, signer.certificate)
            found = _found(paths, home, everybody[name], name, now)
            if left is not None and found and found.expires - now.timestamp() > left * days * 86_400:
                continue
            until = _replace(paths, home, signer, everybody[name], name, days=days, now=now)
        except OSError as error:
            raise Problem(f"{error.filename} cannot be written: {error.strerror}") from error
        except CertificateError as error:
            raise Problem(f"{paths.ca}, beside which {name} has its certificate: {error}") from error
        written.append(Issued(name, home.path / paths.certificate, until))
    return written


def roles_of(config: MeshConfig) -> dict[str, Role]:
    """What each process is that needs a certificate, by its name. Loaders call nobody but the database."""
    found: dict[str, Role] = {"envoy": "envoy", "cli": "cli", "admin": "admin"}
    found |= {place.name: "gateway" for place in config.gateways()}
    found |= {place.name: "router" for place in config.routers()}
    found |= {place.name: "worker" for place in config.workers()}
    return found


def _authority(directory: pathlib.Path) -> authority.Pair:
    try:
        return authority.Pair((directory / _CERTIFICATE).read_bytes(), (directory / _KEY).read_bytes())
    except OSError as error:
        raise Problem(
            f"{error.filename} cannot be read: {error.strerror}; `hybrid certs init` makes an authority"
        ) from error


def _found(paths: Mtls, home: Home, role: Role, process: str, now: datetime.datetime) -> Material | None:
    """What there is; None where it cannot be used."""
    try:
        ca, chain, key = ((home.path / path).read_bytes() for path in (paths.ca, paths.certificate, paths.key))
        return examine(ca, chain, key, role, process, now=now.timestamp())
    except (OSError, CertificateError):
        return None


def _believe(path: pathlib.Path, certificate: bytes) -> None:
    """Add an authority to those of a file. Others stay: certificates that they have signed are still in use."""
    before = path.read_bytes() if path.exists() else b""
    if certificate not in before:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Some editors leave a file without the end of its last line, where nothing may follow.
        _write(path, before + (b"" if before.endswith(b"\n") or not before else b"\n") + certificate)


def _replace(
    paths: Mtls,
    home: Home,
    signer: authority.Pair,
    role: Role,
    process: str,
    *,
    days: float,
    now: datetime.datetime,
) -> datetime.datetime:
    try:
        pair = authority.issue(signer, role, process, now=now, lasting=datetime.timedelta(days=days))
    except ValueError as error:
        raise Problem(f"the authority cannot sign: {error}") from error
    for path in (paths.key, paths.certificate):
        (home.path / path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Between the two they do not fit together, and processes keep what they have.
    _write(home.path / paths.key, pair.key)
    _write(home.path / paths.certificate, pair.certificate)
    believed = (home.path / paths.ca).read_bytes()
    until = examine(believed, pair.certificate, pair.key, role, process, now=now.timestamp()).expires
    return datetime.datetime.fromtimestamp(until, datetime.UTC)


def _write(path: pathlib.Path, content: bytes) -> None:
    """Replace a file in one step: Envoy notices nothing else, and nobody reads half of it. For its user alone."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)
