"""What a process of a configuration proves itself with to the others."""

import pathlib

from services.chassis.config import ConfigError
from services.chassis.credentials import Credentials, Files
from services.chassis.material import CertificateError
from services.chassis.roles import Role
from services.config.mesh import MeshConfig


def credentials(
    config: MeshConfig,
    role: Role,
    process: str,
    *,
    home: pathlib.Path = pathlib.Path(),
) -> Credentials | None:
    """The certificate of a process; None where the configuration has no `mtls`.

    Args:
        config: the mesh's.
        role: what the process is.
        process: its name.
        home: where relative paths start from.

    Raises:
        ConfigError: naming what is wrong with its files, and what to do.
    """
    if config.mtls is None:
        return None
    named = config.mtls.of(process)
    files = Files(home / named.ca, home / named.certificate, home / named.key)
    try:
        return Credentials(files, role, process)
    except CertificateError as error:
        advice = "; `hybrid certs issue` makes certificates for trials" if not files.certificate.exists() else ""
        problems = [f"the certificate of {process} ({files.certificate}): {each}{advice}" for each in error.problems]
        raise ConfigError(problems) from error
