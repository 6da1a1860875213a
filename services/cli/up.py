"""`hybrid up` and `hybrid demo`: runs a mesh in this process, the supervisor."""

import asyncio
import contextlib
import os
import pathlib
import signal
import socket
from collections.abc import Callable, Mapping

from services.chassis import scheduling
from services.chassis.config import ConfigError
from services.cli import hosts, logfile, observability, plan, postgres, proof, sections, surroundings, watchdog
from services.cli.children import open_children
from services.cli.examples import examples, find_grpcurl
from services.cli.home import Home
from services.cli.lock import locked
from services.cli.problem import Problem
from services.cli.progress import Progress
from services.cli.spec import Spec
from services.cli.state import MeshState
from services.cli.supervisor import Supervisor
from services.config import mesh


def load(config: pathlib.Path, environment: Mapping[str, str]) -> mesh.MeshConfig:
    """The configuration.

    Raises:
        Problem: naming every mistake, with exit code 2.
    """
    try:
        return mesh.load(config, environment)
    except ConfigError as error:
        raise Problem("\n".join(error.problems), code=2) from error


def up(
    home: Home,
    config_file: pathlib.Path,
    port: int | None,
    progress: Progress,
    *,
    stopped_by: str,
    observed: bool = False,
    host: str | None = None,
) -> None:
    """Run a mesh, or a host's part of it, until it is told to stop.

    Args:
        home: where it lives.
        config_file: what it is.
        port: of the edge, instead of the configuration's.
        progress: is told how it goes.
        stopped_by: how one stops it, in words.
        observed: whether Prometheus and Alertmanager run beside it.
        host: which of the configuration's hosts this is; None: the one that `hosts.chosen` finds.

    Raises:
        Problem: it cannot be started, or did not become ready.
    """
    environment = surroundings.environment(os.environ)
    if config_file == surroundings.LOCAL:
        surroundings.require_model(environment)
    if observed and config_file in surroundings.BUILT_IN:
        surroundings.give_ports(environment)
    config = load(config_file, environment)
    host = hosts.chosen(config, host)
    edged = host is None or "envoy" in config.on(host)
    edge_port = port or config.edge.port
    home.prepare()
    with locked(home) as lock:
        # Relative addresses in the configuration, which keep unix sockets short, are meant from here.
        os.chdir(home.path)
        watchdog.clear(home.path, ())  # a machine that lost power leaves sockets behind
        home.pid.write_text(f"{os.getpid()}\n", encoding="ascii")
        temporary = surroundings.temporary(home)
        environment["TMPDIR"] = str(temporary)
        embedded = None
        try:
            if host is not None:
                hosts.require_shared(config, host, home.path)
            if edged:
                _check_port(config.edge.host, edge_port, "choose another with --port")
                os.close(logfile.open_log(home.log("envoy-access")))  # Envoy would let everybody read it
            _check_observers(config, host, observed=observed)
            embedded = postgres.prepare(home) if config.ledger.dsn is None else None
            sources = _sources(config_file, config, home, edge_port if edged else None)
            specs = plan.specs(config, sources, environment, embedded, host)
            if observed:
                observability.prepare(config, home)
                specs += observability.specs(config, home, environment)
        except BaseException:
            watchdog.clear(home.path, [temporary, *([embedded.socket] if embedded else [])])
            raise
        where, tls = plan.reachable(config.edge.host), config.edge.tls
        certificate = str(home.path / tls.certificate) if tls else None
        mesh_state = MeshState(
            pid=os.getpid(),
            state="starting",
            config=str(config_file),
            edge=f"{'https' if tls else 'http'}://{where}:{edge_port}" if edged else "",
            routers=_routers(config, host),
            dsn=embedded.dsn if embedded else None,
            models=tuple(model.name for model in config.models),
            certificate=certificate,
            admin=config.admin.listen if host is None or "admin" in config.on(host) else "",
            host=host or "",
            mtls=sources.credentials.files.paths() if sources.credentials else None,
            succeeding=tuple(spec.name for spec in specs if spec.succeed is not None),
            sections=sections.of(config),
        )
        welcome = f"This is the part of `{host}`; it has no edge.\n"
        if edged:
            welcome = examples(
                where,
                edge_port,
                config.models[0].name,
                grpcurl=find_grpcurl(),
                certificate=certificate,
                keyed=None if config.access.keyless else home.path,
            )
        if observed:
            welcome += observability.welcome(config)
        welcome += f"\n{stopped_by} stops it.\n"
        outside = _outside(home, temporary, embedded)

        _be_patient(config, host)

        def replan() -> tuple[Spec, ...]:
            wanted = load(config_file, environment)
            if observed:
                observability.write_targets(wanted, home)
            return plan.gateways(wanted, sources, environment, embedded, host)

        asyncio.run(_supervise(home, lock, specs, mesh_state, welcome, progress, outside, replan))


async def _supervise(
    home: Home,
    lock: int,
    specs: tuple[Spec, ...],
    mesh_state: MeshState,
    welcome: str,
    progress: Progress,
    outside: tuple[pathlib.Path, ...],
    replan: Callable[[], tuple[Spec, ...]],
) -> None:
    async with open_children(home, lock) as children:
        for path in outside:
            children.remove_at_end(path)
        supervisor = Supervisor(
            specs, mesh=mesh_state, welcome=welcome, home=home, children=children, progress=progress
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, supervisor.stop)

        def adopt() -> None:
            # Whoever asks has checked the configuration; should it be wrong by now, everything stays as it is.
            with contextlib.suppress(Problem):
                supervisor.adopt(replan())

        loop.add_signal_handler(signal.SIGUSR1, adopt)
        loop.add_signal_handler(signal.SIGUSR2, supervisor.hand_over)
        await supervisor.run()


def _outside(home: Home, temporary: pathlib.Path, embedded: postgres.Embedded | None) -> tuple[pathlib.Path, ...]:
    """What is not in the home, and is removed even when this process is killed."""
    from services.cli import edge_lives  # as `edge`, below

    return (temporary, edge_lives.shared_memory(home), *([embedded.socket] if embedded else []))


def _be_patient(config: mesh.MeshConfig, host: str | None) -> None:
    """As what is started here is to be: Envoy and PostgreSQL do not choose by themselves."""
    scheduling.be_patient(scheduling.worth_it(config.engine_cores(hosts.here(config, host))))


def _routers(config: mesh.MeshConfig, host: str | None) -> tuple[str, ...]:
    """Addresses of all routers, those of this host first."""
    here = frozenset[str]() if host is None else config.on(host)
    return tuple(place.address for place in sorted(config.routers(), key=lambda place: place.name not in here))


def _sources(config_file: pathlib.Path, config: mesh.MeshConfig, home: Home, port: int | None) -> plan.Sources:
    """Where the programs come from; without a port there is no edge here.

    Raises:
        Problem: Envoy refuses what it would run with, or our own certificate cannot be used.
    """
    return plan.Sources(
        config=config_file,
        migrations=surroundings.MIGRATIONS,
        envoy=_no_envoy if port is None else _envoy(config, home, port),
        engine_python=surroundings.engine_python,
        credentials=proof.of_config(config, home),
    )


def _no_envoy(life: int) -> tuple[str, ...]:
    raise AssertionError(f"a host without an edge was asked for life {life} of one")


def _envoy(config: mesh.MeshConfig, home: Home, port: int) -> Callable[[int], tuple[str, ...]]:
    # Imported late: `hybrid down` and its like must work, and be quick, without them.
    from services.cli import edge, edge_lives

    try:
        path = edge.render(config, home=home.path, port=port)
        edge.validate(path)
    except ConfigError as error:
        raise Problem("\n".join(error.problems), code=2) from error
    return edge_lives.commands(home, edge.live(path), config)


def _check_observers(config: mesh.MeshConfig, host: str | None, *, observed: bool) -> None:
    """Whether everything can tell Prometheus of itself, and Prometheus can run, before anything is started."""
    if config.metrics.port is not None:
        for name, role, index in config.roles():
            port = config.metrics.port_of(role, index)
            if port is not None and (host is None or name in config.on(host)):
                _check_port(config.metrics.host, port, f"{name} would have it: choose another `metrics.port`")
    if observed:
        for setting in ("prometheus_port", "alertmanager_port"):
            port = getattr(config.observability, setting)
            _check_port("127.0.0.1", port, f"choose another `observability.{setting}`")


def _check_port(host: str, port: int, advice: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Problem(f"{host}:{port} cannot be listened on: {error.strerror}; {advice}") from error
