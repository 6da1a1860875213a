"""A mesh as its configuration describes it, for commands that talk to one which no supervisor here runs."""

import os

from services.cli import hosts, plan, proof, surroundings
from services.cli.home import Home
from services.cli.state import MeshState
from services.cli.up import load


def state(home: Home) -> MeshState:
    """What the home's configuration says of where everything answers.

    Raises:
        Problem: the configuration, or the command's own certificate, cannot be used.
    """
    config = load(home.config, surroundings.environment(os.environ))
    host = hosts.chosen(config, None)
    here = config.beside("") if host is None else config.on(host)
    tls = config.edge.tls
    credentials = proof.of_config(config, home)
    return MeshState(
        pid=0,
        state="ready",
        config=str(home.config),
        edge=f"{'https' if tls else 'http'}://{plan.reachable(config.edge.host)}:{config.edge.port}",
        routers=tuple(place.address for place in sorted(config.routers(), key=lambda place: place.name not in here)),
        dsn=None,
        models=tuple(model.name for model in config.models),
        certificate=str(home.path / tls.certificate) if tls else None,
        admin=config.admin.listen,
        host=host or "",
        mtls=credentials.files.paths() if credentials else None,
    )
