"""What the `hybrid` command proves itself with to processes that it reaches over TCP."""

from services.chassis.config import ConfigError
from services.chassis.credentials import Credentials, Files
from services.chassis.material import CertificateError
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.state import MeshState
from services.config import identity
from services.config.mesh import MeshConfig

PROCESS = "cli"


def of_config(config: MeshConfig, home: Home) -> Credentials | None:
    """By the configuration of a mesh; None where its processes need no certificates.

    Raises:
        Problem: the certificate cannot be used.
    """
    try:
        return identity.credentials(config, "cli", PROCESS, home=home.path)
    except ConfigError as error:
        raise Problem("\n".join(error.problems), code=2) from error


def of_mesh(mesh: MeshState) -> Credentials | None:
    """By what a running mesh says of itself.

    Raises:
        Problem: the certificate cannot be used.
    """
    if mesh.mtls is None:
        return None
    try:
        return Credentials(Files.named(mesh.mtls), "cli", PROCESS)
    except CertificateError as error:
        why = "; ".join(error.problems)
        raise Problem(f"the certificate of {PROCESS} ({mesh.mtls['certificate']}): {why}", code=2) from error
