"""The `hybrid` command. Each subcommand is a thin face of the module with its name."""

import contextlib
import datetime
import functools
import json
import os
import pathlib
import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from services.cli import lock, surroundings
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.running import reachable, required

if TYPE_CHECKING:
    from services.cli.keys import Ask

app = typer.Typer(
    name="hybrid",
    help="An inference mesh on this host: start it, watch it, talk to it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

HomeOption = Annotated[pathlib.Path, typer.Option("--home", help="Directory of the mesh's state.")]
ConfigOption = Annotated[pathlib.Path | None, typer.Option("--config", help="Configuration file.")]
PortOption = Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Port of the edge.")]
HostOption = Annotated[
    str | None, typer.Option("--host", help="Which of the configuration's hosts this is. Default: the one of its name.")
]
DetachOption = Annotated[bool, typer.Option("--detach", help="Return when the mesh is ready; `hybrid down` stops it.")]
ObservabilityOption = Annotated[
    bool, typer.Option("--observability", help="Run Prometheus and Alertmanager beside it, where they are installed.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
CredentialOption = Annotated[
    pathlib.Path | None, typer.Option("--operator-credential", help="File of it. Default: HOME/admin.key.")
]
AuthorityOption = Annotated[
    pathlib.Path | None, typer.Option("--directory", help="The authority's. Default: HOME/authority.")
]
ProcessOption = Annotated[list[str] | None, typer.Option("--process", help="Only this one; may be repeated.")]
DaysOption = Annotated[float, typer.Option("--days", min=0.001, max=3650, help="How long they hold.")]

keys = typer.Typer(help="Make, show, revoke and rotate the keys that callers need.", no_args_is_help=True)
app.add_typer(keys, name="keys")
settings = typer.Typer(help="Show the configuration, its schema, and what a change means.", no_args_is_help=True)
app.add_typer(settings, name="config")
certs = typer.Typer(help="Make certificates for processes, by an authority for trials.", no_args_is_help=True)
app.add_typer(certs, name="certs")
edge = typer.Typer(help="Run one edge by itself: what units and containers do.", no_args_is_help=True)
app.add_typer(edge, name="edge")
systemd = typer.Typer(help="Units for the processes of this host.", no_args_is_help=True)
app.add_typer(systemd, name="systemd")
DirectoryOption = Annotated[pathlib.Path, typer.Option("--directory", help="Where units are.")]
_UNITS = pathlib.Path("/etc/systemd/system")

prometheus = typer.Typer(help="What Prometheus needs to know of a mesh.", no_args_is_help=True)
app.add_typer(prometheus, name="prometheus")

_HOME = pathlib.Path(".hybrid")
_PIPE_WIDTH = 1000


@app.command()
def up(
    home: HomeOption = _HOME,
    config: ConfigOption = None,
    port: PortOption = None,
    host: HostOption = None,
    detach: DetachOption = False,
    observability: ObservabilityOption = False,
    progress_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Start a mesh, or a host's part of one. Without --config: HOME/hybrid.yaml, else vLLM with a small real model."""
    place = _home(home)
    file = surroundings.chosen_config(config, place)
    _start(place, file, port, detach=detach, observed=observability, progress_fd=progress_fd, host=host)


@app.command()
def demo(
    home: HomeOption = _HOME,
    config: ConfigOption = None,
    port: PortOption = None,
    detach: DetachOption = False,
    observability: ObservabilityOption = False,
) -> None:
    """Start a mesh with echo workers: no engine to install, no model to load."""
    file = surroundings.DEMO if config is None else config.absolute()
    _start(_home(home), file, port, detach=detach, observed=observability, progress_fd=None)


@app.command()
def down(
    home: HomeOption = _HOME,
    seconds: Annotated[float, typer.Option(help="How long it may take before it is killed.")] = 180.0,
) -> None:
    """Stop the mesh: running requests may finish, then everything ends."""
    from services.cli import down as module

    place = _home(home)
    if lock.held(place):  # it may take a while
        print("stopping; running requests may finish", file=sys.stderr)
    stopped = module.down(place, seconds)
    print("stopped" if stopped else "nothing is running")


@app.command()
def restart(
    process: Annotated[str, typer.Argument(help="Its name, as `hybrid status` shows it.")],
    home: HomeOption = _HOME,
    seconds: Annotated[float, typer.Option(help="How long it may take until it serves again.")] = 180.0,
) -> None:
    """Restart one process in order, and wait until it serves again; a gateway among several loses no call."""
    from services.cli import restart as module

    module.restart(_home(home), process, seconds)
    print(f"{process} serves again")


@app.command()
def reload(home: HomeOption = _HOME) -> None:
    """Have a running mesh take up its configuration: models, limits, certificates, gateways. No call is cut."""
    from services.cli import reload as module

    place = _home(home)
    done = module.reload(place, required(place))
    print("the edge has taken it" if done.edge_changed else "nothing has changed for the edge")
    if done.taken.by:
        print(f"version {done.version} is used by {', '.join(done.taken.by)}")
    if done.at_restart:
        print(f"takes effect when the processes that read it start again: {', '.join(done.at_restart)}")
    if done.restart:
        print(f"to be started again with `hybrid restart`: {', '.join(done.restart)}")
    if done.start or done.end:
        print(f"comes or goes with a start of the whole mesh: {', '.join((*done.start, *done.end))}")
    for name, why in done.taken.refused.items():
        print(f"{name} has not taken it: {why}", file=sys.stderr)
    if done.taken.refused:
        raise typer.Exit(1)


@app.command()
def drain(
    what: Annotated[list[str], typer.Argument(help="gateway NAME, worker NAME or route MODEL/PROVIDER.")],
    home: HomeOption = _HOME,
    operator_credential: CredentialOption = None,
) -> None:
    """Take a gateway, a worker or a route out of service: it finishes what it has begun, and is given nothing new."""
    from services.cli import draining as module

    kind, name = module.guessed(what)
    print(module.drain(_asker(home, operator_credential), kind, name))


@app.command()
def undrain(
    what: Annotated[list[str], typer.Argument(help="gateway NAME, worker NAME or route MODEL/PROVIDER.")],
    home: HomeOption = _HOME,
    operator_credential: CredentialOption = None,
) -> None:
    """Take into service again what was drained."""
    from services.cli import draining as module

    kind, name = module.guessed(what)
    print(module.undrain(_asker(home, operator_credential), kind, name))


@app.command()
def drains(
    home: HomeOption = _HOME,
    operator_credential: CredentialOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is out of service, since when, and who said so."""
    from services.cli import draining as module

    found = module.every(_asker(home, operator_credential))
    if as_json:
        print(json.dumps(module.plain(found), indent=2))
    elif found:
        _console().print(module.table(found))
    else:
        print("nothing is drained", file=sys.stderr)


@app.command()
def flags(
    home: HomeOption = _HOME,
    operator_credential: CredentialOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what flags say, and whose file changed them last, and when."""
    from services.cli import flagging as module

    found = module.every(_asker(home, operator_credential))
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _console().print(module.table(found))


@app.command()
def status(
    home: HomeOption = _HOME,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and show changes.")] = False,
) -> None:
    """Show processes, workers, models, load and latency."""
    from services.cli import status as module

    place = _home(home)
    if as_json:
        print(json.dumps(module.look(place).to_json(), indent=2))
        return
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            module.watch(place, _console())
    else:
        _console().print(module.rendered(module.look(place), now=time.time()))


@app.command()
def chat(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    home: HomeOption = _HOME,
    model: Annotated[str | None, typer.Option("--model", help="Default: the first of the configuration.")] = None,
) -> None:
    """Ask one question; the answer is shown as it is generated."""
    mesh = reachable(_home(home))
    from services.cli import chat as module

    module.chat(mesh, question, model)


@app.command()
def requests(
    home: HomeOption = _HOME,
    as_json: JsonOption = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many.")] = 20,
) -> None:
    """Show the last rows of the ledger."""
    from services.cli import ledger
    from services.cli import requests as module

    rows = module.recent(reachable(_home(home)), limit)
    if as_json:
        print(ledger.as_json(rows))
    elif rows:
        console = _console()
        console.print(ledger.table(rows, width=console.width))
    else:
        print("no request so far")


@app.command()
def explain(
    question: Annotated[str | None, typer.Argument(help="What would be asked.")] = None,
    home: HomeOption = _HOME,
    file: Annotated[pathlib.Path | None, typer.Option("--file", help="Or the JSON body of a request to /v1.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Default: the first of the configuration.")] = None,
    session: Annotated[str | None, typer.Option("--session", help="Names the conversation.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="A tag that the route must have; may be repeated.")
    ] = None,
    max_cost_usd: Annotated[str | None, typer.Option("--max-cost-usd", help="Most that it may cost.")] = None,
    first_content_slo_ms: Annotated[
        int | None, typer.Option("--first-content-slo-ms", help="Longest time to the first content that is any good.")
    ] = None,
    criticality: Annotated[
        str | None, typer.Option("--criticality", help="sheddable, sheddable-plus or critical.")
    ] = None,
    worker: Annotated[str | None, typer.Option("--worker", help="Only this one, where callers may choose.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show where a request would go now, and why, candidate by candidate. Nothing is generated."""
    mesh = reachable(_home(home))
    from services.cli import explain as module

    wanted = module.Wanted(session, tuple(tag or ()), max_cost_usd, first_content_slo_ms, criticality, worker)
    told = module.explain(mesh, module.asked(question, file, model, mesh.models[0]), wanted)
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        _console().print(module.rendered(told))


@app.command()
def why(
    request_id: Annotated[str, typer.Argument(help="Of the answer, or its x-request-id.")],
    home: HomeOption = _HOME,
    as_json: JsonOption = False,
) -> None:
    """Show what became of a request, and why each attempt went where it went."""
    from services.cli import ledger
    from services.cli import requests as rows
    from services.cli import why as module

    found = rows.found(reachable(_home(home)), request_id)
    module.require(found, request_id)
    if as_json:
        print(ledger.as_json(found))
    else:
        _console().print(module.rendered(found), soft_wrap=True)


@keys.command("create")
def create_key(
    owner: Annotated[str, typer.Option("--owner", help="Whose it is.")],
    home: HomeOption = _HOME,
    operator_credential: CredentialOption = None,
    name: Annotated[str, typer.Option("--name", help="What people call it.")] = "",
    model: Annotated[list[str] | None, typer.Option("--model", help="Only this one; may be repeated.")] = None,
    provider: Annotated[list[str] | None, typer.Option("--provider", help="Only this one; may be repeated.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="generate, embed, models, explain or overview; may be repeated.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="NAME=VALUE; may be repeated.")] = None,
    expires: Annotated[str | None, typer.Option("--expires", help="30d, or a moment in ISO 8601.")] = None,
    rpm: Annotated[int | None, typer.Option("--rpm", min=1, max=10**15, help="Requests in a minute.")] = None,
    tpm: Annotated[int | None, typer.Option("--tpm", min=1, max=10**15, help="Tokens in a minute.")] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, max=10**15, help="Requests at once.")
    ] = None,
    budget_usd_day: Annotated[str | None, typer.Option("--budget-usd-day", help="US dollars in a day, UTC.")] = None,
    budget_usd_month: Annotated[
        str | None, typer.Option("--budget-usd-month", help="US dollars in a month, UTC.")
    ] = None,
    criticality: Annotated[
        str | None, typer.Option("--criticality", help="At most: sheddable, sheddable-plus, critical, critical-plus.")
    ] = None,
    weight: Annotated[
        float | None, typer.Option("--weight", min=0.001, max=1000, help="Its share beside other keys. Default: 1.")
    ] = None,
    content: Annotated[str, typer.Option("--content", help="What is kept: none, hashed, redacted, stored.")] = "none",
    retention_days: Annotated[
        int | None, typer.Option("--retention-days", min=1, help="How long. Default: 30.")
    ] = None,
    billing: Annotated[
        str, typer.Option("--billing", help="strict: an answer ends once its record is on disk. Or relaxed.")
    ] = "strict",
    as_json: JsonOption = False,
) -> None:
    """Make a key, and print it alone, this once: KEY=$(hybrid keys create --owner me)."""
    from services.cli import keys as module

    wanted = module.spec(
        owner=owner,
        now=_now(),
        name=name,
        models=model or (),
        providers=provider or (),
        scopes=scope or (),
        labels=label or (),
        expires=expires,
        rpm=rpm,
        tpm=tpm,
        concurrency=concurrency,
        budget_usd_day=budget_usd_day,
        budget_usd_month=budget_usd_month,
        criticality=criticality,
        weight=weight,
        content=content,
        retention_days=retention_days,
        billing=billing,
    )
    made = module.create(_asker(home, operator_credential), wanted)
    _hand_over(made.credential, module.plain(made.key), as_json=as_json)


@keys.command("list")
def list_keys(
    home: HomeOption = _HOME,
    operator_credential: CredentialOption = None,
    owner: Annotated[str, typer.Option("--owner", help="Only theirs.")] = "",
    ended: Annotated[bool, typer.Option("--all", help="Those that are revoked or expired, too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show keys, newest first; never their secrets."""
    from services.cli import keys as module

    found = list(module.every(_asker(home, operator_credential), owner=owner, ended=ended))
    if as_json:
        print(json.dumps([module.plain(key) for key in found], indent=2))
    elif found:
        _console().print(module.table(found, now=_now()))
    else:
        rest = "" if ended else "; `--all` shows those that have ended, too"
        print(f"no key{f' of {owner}' if owner else ''}{rest}; `hybrid keys create` makes one", file=sys.stderr)


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="Its id, the 16 characters after `hi_`, or all of it.")],
    home: HomeOption = _HOME,
    operator_credential: CredentialOption = None,
) -> None:
    """End a key for good; every gateway refuses it within five seconds."""
    from services.cli import keys as module

    key = module.revoke(_asker(home, operator_credential), key_id)
    print(f"{key.key_id} is revoked")


@keys.command("rotate")
def rotate_key(
    key_id: Annotated[str, typer.Argument(help="Its id, the 16 characters after `hi_`, or all of it.")],
    home: HomeOption = _HOME,
    operator_credential: CredentialOption = None,
    grace: Annotated[
        str | None, typer.Option("--grace", help="How long the secret before is taken, too: 24h. Default: not at all.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Give a key another secret, and print it alone, this once."""
    from services.cli import keys as module
    from services.cli.moments import span

    lasting = span(grace, "--grace") if grace is not None else None
    made = module.rotate(_asker(home, operator_credential), key_id, lasting)
    _hand_over(made.credential, module.plain(made.key), as_json=as_json)


@certs.command("init")
def init_certs(
    home: HomeOption = _HOME,
    directory: AuthorityOption = None,
    days: Annotated[float, typer.Option("--days", min=0.01, max=36_500, help="How long it holds.")] = 365.0,
) -> None:
    """Make an authority. Keep its directory where no process of a mesh, and nobody else, can read it."""
    from services.cli import certs as module

    made = module.init(_authority(_home(home), directory), days=days, now=_now())
    print(f"{made} and its key, which signs, beside it; `hybrid certs issue` makes certificates")


@certs.command("issue")
def issue_certs(
    home: HomeOption = _HOME,
    config: ConfigOption = None,
    directory: AuthorityOption = None,
    process: ProcessOption = None,
    days: DaysOption = 30.0,
) -> None:
    """Give every process of the configuration, or those that are named, a new certificate where `mtls` says."""
    _issue(home, config, directory, process or [], days, left=None)


@certs.command("renew")
def renew_certs(
    home: HomeOption = _HOME,
    config: ConfigOption = None,
    directory: AuthorityOption = None,
    process: ProcessOption = None,
    days: DaysOption = 30.0,
) -> None:
    """The same for those that are missing or have less than half of their time left. For a timer."""
    _issue(home, config, directory, process or [], days, left=0.5)


@app.command()
def usage(
    home: HomeOption = _HOME,
    operator_credential: CredentialOption = None,
    by: Annotated[str, typer.Option("--by", help="Of key, owner, model, provider, day, hour: as many as wanted.")] = "",
    since: Annotated[str | None, typer.Option("--from", help="7d, or a moment in ISO 8601. Default: 30d.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Not part of it. Default: now.")] = None,
    key: Annotated[str, typer.Option("--key", help="Only of this one, by its id.")] = "",
    owner: Annotated[str, typer.Option("--owner", help="Only theirs.")] = "",
    model: Annotated[str, typer.Option("--model", help="Only of this one.")] = "",
    provider: Annotated[str, typer.Option("--provider", help="Only of this one.")] = "",
    as_csv: Annotated[bool, typer.Option("--csv", help="For spreadsheets.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what was used and what it cost, to the nano-dollar."""
    from services.cli import usage as module

    if as_csv and as_json:
        raise Problem("--csv and --json: one of them", code=2)
    asked = module.question(
        by=by, now=_now(), since=since, until=until, key=key, owner=owner, model=model, provider=provider
    )
    rows = module.ask(_asker(home, operator_credential), asked)
    if as_json:
        print(module.as_json(rows))
    elif as_csv:
        print(module.as_csv(rows, by), end="")
    else:
        _console().print(module.table(rows, by))


@app.command()
def replay(
    home: HomeOption = _HOME,
    days: Annotated[float, typer.Option("--days", min=0.001, max=366, help="How far back.")] = 7.0,
    model: Annotated[str | None, typer.Option("--model", help="Default: the first of the configuration.")] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option("--strategy", help="NAME[:key=value,…]; may be repeated. The model's own comes first."),
    ] = None,
    requests: Annotated[int, typer.Option("--requests", min=1, help="No more than so many, the newest.")] = 5000,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Number of seeds.")] = 5,
) -> None:
    """Compare strategies on what was asked in the last days, by the ledger, in the simulator. Nothing is generated."""
    place = _home(home)
    mesh = required(place)
    from services.cli.replay import command

    code = command.replay(place, mesh, name=model, days=days, most=requests, strategies=strategy or (), seeds=seeds)
    raise typer.Exit(code)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def simulate(context: typer.Context, home: HomeOption = _HOME) -> None:  # noqa: ARG001  # every subcommand takes it
    """Play traffic against simulated fleets; `hybrid simulate --help` says how."""
    from services.cli.replay.command import SIMULATOR

    os.execv(sys.executable, [sys.executable, "-m", SIMULATOR, *context.args])


@app.command()
def migrate(
    home: HomeOption = _HOME,
    config: ConfigOption = None,
    dsn: Annotated[
        str | None, typer.Option("--dsn", help="Without a password; default: ledger.dsn of the configuration.")
    ] = None,
) -> None:
    """Bring the ledger's tables in a PostgreSQL of yours up to date. Can be run again, and beside a running mesh."""
    from services.cli import migrate as module

    print(module.migrate(module.dsn_of(_home(home), config, dsn)))


@prometheus.command("targets")
def prometheus_targets(
    home: HomeOption = _HOME,
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option("--host", help="Only the processes on this one.")] = None,
) -> None:
    """Print where the processes tell of themselves, for `file_sd_configs`."""
    from services.cli import prometheus as module
    from services.cli.up import load

    found = load(surroundings.chosen_config(config, _home(home)), surroundings.environment(os.environ))
    print(module.encoded(module.targets(found, host=host)), end="")


@prometheus.command("rules")
def prometheus_rules(
    home: HomeOption = _HOME,  # noqa: ARG001  # every subcommand takes it
    faster: Annotated[
        float, typer.Option("--faster", min=1, max=1000, help="Divide all times: to see alerts come and go.")
    ] = 1.0,
) -> None:
    """Print all recording and alert rules in one file."""
    from services.cli import rules as module

    print(module.faster(module.shipped(), faster) if faster > 1 else module.shipped(), end="")


@app.command("check-config")
def check_config(
    file: Annotated[pathlib.Path, typer.Argument(help="The configuration.")],
    home: HomeOption = _HOME,
) -> None:
    """Check a configuration: a summary and exit code 0, or every mistake with its line and exit code 2."""
    from services.cli import check
    from services.cli.up import load

    config = load(file, surroundings.environment(os.environ))
    check.edge(config, _home(home))
    print(check.summary(config))


@app.command()
def init(
    file: Annotated[pathlib.Path | None, typer.Argument(help="To write. Default: HOME/hybrid.yaml.")] = None,
    home: HomeOption = _HOME,
    from_litellm: Annotated[
        pathlib.Path | None, typer.Option("--from-litellm", help="A LiteLLM configuration to take models from.")
    ] = None,
    local: Annotated[
        bool | None,
        typer.Option("--local/--no-local", help="With engines. Default: unless all is imported."),
    ] = None,
    model: Annotated[str, typer.Option("--model", help="For engines: a directory, or a name on a model hub.")] = "",
    openai_key_env: Annotated[
        str | None, typer.Option("--openai-key-env", help="Name of the variable that has the key, never the key.")
    ] = None,
    openai_model: Annotated[list[str] | None, typer.Option("--openai-model", help="May be repeated.")] = None,
    gemini_key_env: Annotated[
        str | None, typer.Option("--gemini-key-env", help="Name of the variable that has the key, never the key.")
    ] = None,
    gemini_model: Annotated[list[str] | None, typer.Option("--gemini-model", help="May be repeated.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> None:
    """Write a first configuration: engines for the GPUs that there are, vendors' models, those of a LiteLLM file."""
    from services.cli import first as module

    options = {"openai": (openai_key_env, openai_model or []), "gemini": (gemini_key_env, gemini_model or [])}
    if sys.stdin.isatty() and from_litellm is None and not any(variable for variable, _ in options.values()):
        options = {kind: _asked_for(kind) for kind in options}
    vendors = [each for kind, (variable, names) in options.items() for each in module.bought(kind, variable, names)]
    imported = module.imported(from_litellm) if from_litellm is not None else None
    own = local if local is not None else imported is None
    gpus = module.gpus() if own else 0
    path = file or _home(home).config
    made = module.text(module.Wanted(gpus=gpus, local=own, model=model, vendors=vendors, imported=imported))
    module.write(path, made, force=force)
    print(f"{path} is written; `hybrid check-config {path}` checks it, `hybrid up --config {path}` starts it")
    if own:
        print(f"engines: {f'{gpus}, with a GPU each' if gpus else 'one on the CPU: no GPU was found'}")
    for note in imported.notes if imported else ():
        print(note, file=sys.stderr)


@settings.command("schema")
def config_schema(home: HomeOption = _HOME) -> None:  # noqa: ARG001  # every subcommand takes it
    """Print the JSON Schema of the file, for editors."""
    from services.cli import configuring as module

    print(module.schema_text())


@settings.command("show")
def config_show(
    file: Annotated[pathlib.Path | None, typer.Argument(help="Default: what `hybrid up` would take.")] = None,
    home: HomeOption = _HOME,
) -> None:
    """Print a configuration with all its defaults; secrets are three stars."""
    from services.cli import configuring as module
    from services.cli.up import load

    chosen = surroundings.chosen_config(file, _home(home))
    print(module.effective(load(chosen, surroundings.environment(os.environ))))


@settings.command("diff")
def config_diff(
    file: Annotated[
        pathlib.Path | None, typer.Argument(help="What to compare with what runs. Default: the file that it runs by.")
    ] = None,
    new: Annotated[
        pathlib.Path | None, typer.Argument(help="Two files are compared with each other: what is in this one is new.")
    ] = None,
    home: HomeOption = _HOME,
    as_json: JsonOption = False,
) -> None:
    """Show what differs, and whether a reload takes it up or what has to be restarted. Exit code 1: something does."""
    from services.cli import configuring as module

    place, environment = _home(home), surroundings.environment(os.environ)
    if file is not None and new is not None:
        before, after = module.of_files(file, new, environment)
    else:
        before, after = module.of_mesh(place, file and file.absolute(), environment)
    found = module.changes(before, after)
    if as_json:
        print(json.dumps(module.plain(found), indent=2))
    elif found:
        _console().print(module.table(found))
    else:
        print("nothing differs", file=sys.stderr)
    if found:
        raise typer.Exit(1)


@app.command()
def verify(
    home: HomeOption = _HOME,
    config: ConfigOption = None,
    provider: Annotated[str | None, typer.Option("--provider", help="Default: every one of the configuration.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Default: the first for text, the first for vectors.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Of one answer, for small models that talk much.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Calls that cost money may be made.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask providers, with your keys, for everything that they claim. Exit code 1: a claim does not hold."""
    from services.cli.verify import command, report

    place = _home(home)
    file = surroundings.chosen_config(config, place)
    results = command.verify(file, place, provider=provider, model=model, most_tokens=max_tokens, agreed=yes)
    if as_json:
        print(json.dumps(report.to_json(results), indent=2))
    else:
        _console().print(report.table(results))
    if any(one.verdict.outcome == "failed" for one in results):
        raise typer.Exit(1)


@edge.command("run")
def run_edge(home: HomeOption = _HOME, config: ConfigOption = None) -> None:
    """Write Envoy's configuration, have Envoy check it, and become Envoy."""
    from services.cli import lone_edge

    place = _home(home)
    lone_edge.run(place, surroundings.chosen_config(config, place))


@edge.command("ready")
def edge_ready(
    home: HomeOption = _HOME,
    seconds: Annotated[float, typer.Option(help="How long to wait.")] = 100.0,
) -> None:
    """Wait until the edge listens and has a gateway to call."""
    from services.cli import lone_edge

    lone_edge.ready(_home(home), seconds)


@edge.command("reload")
def reload_edge(home: HomeOption = _HOME, config: ConfigOption = None) -> None:
    """Have the edge take up its configuration: limits, certificates, which gateways there are. No call is cut."""
    from services.cli import lone_edge

    place = _home(home)
    changed = lone_edge.reload(place, surroundings.chosen_config(config, place))
    print("the edge has taken it" if changed else "nothing has changed for the edge")


@edge.command("drain")
def drain_edge(home: HomeOption = _HOME, config: ConfigOption = None) -> None:
    """Take the edge out of service, and wait until no call is under way, as long as gateways would."""
    from services.cli import lone_edge

    place = _home(home)
    lone_edge.drain(place, surroundings.chosen_config(config, place))


@systemd.command("install")
def install_units(
    config: Annotated[pathlib.Path, typer.Option("--config", help="Configuration file.")] = pathlib.Path(
        "/etc/hybridinference/hybrid.yaml"
    ),
    host: Annotated[str | None, typer.Option("--host", help="Which of `hosts` this is. Default: by its name.")] = None,
    directory: DirectoryOption = _UNITS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written.")] = False,
    home: HomeOption = _HOME,  # noqa: ARG001  # every subcommand takes it; that of units is /var/lib/hybridinference
) -> None:
    """Write units for the processes of this host, and remove those that it has no longer. Starts and stops nothing."""
    from services.cli.systemd import install as module

    file = config.absolute()
    found = module.content(file, host, module.layout(file))
    if dry_run:
        for name, text in found.items():
            print(f"==> {directory / name} <==\n{text}")
        return
    changed, gone = module.install(found, directory)
    for what, names in (("written", changed), ("removed", gone)):
        for name in names:
            print(f"{what}: {directory / name}")
    if changed or gone:
        print("to begin: systemctl daemon-reload && systemctl enable --now hybridinference.target")
    else:
        print("everything is there already")


@systemd.command("verify")
def verify_units(
    directory: DirectoryOption = _UNITS,
    home: HomeOption = _HOME,  # noqa: ARG001  # every subcommand takes it
) -> None:
    """Have systemd check the units that were written. Exit code 1: it finds something, or one is exposed above 2.0."""
    from services.cli.systemd import verify as module

    found = module.verify(directory)
    for unit in found:
        print(f"{unit.score:.1f}  {unit.unit}")
        if unit.said:
            print(unit.said, file=sys.stderr)
    if any(unit.said or unit.score > module.MOST for unit in found):
        raise typer.Exit(1)


@app.command()
def version(home: HomeOption = _HOME) -> None:  # noqa: ARG001  # every subcommand takes it
    """Show the version."""
    from services.chassis import version as module

    print(module.version())


def _authority(home: Home, directory: pathlib.Path | None) -> pathlib.Path:
    from services.cli import certs as module

    return directory.absolute() if directory else home.path / module.DIRECTORY


def _issue(
    home: pathlib.Path,
    config: pathlib.Path | None,
    directory: pathlib.Path | None,
    processes: list[str],
    days: float,
    *,
    left: float | None,
) -> None:
    from services.cli import certs as module
    from services.cli.up import load

    place = _home(home)
    mesh = load(surroundings.chosen_config(config, place), surroundings.environment(os.environ))
    authority = _authority(place, directory)
    issued = module.issue(mesh, place, authority, processes=processes, days=days, now=_now(), left=left)
    for each in issued:
        print(f"{each.process}: {each.path}, until {each.until:%Y-%m-%d %H:%M} UTC")
    if not issued:
        print("every certificate has more than half of its time left", file=sys.stderr)


def _asked_for(kind: str) -> tuple[str | None, list[str]]:
    """Variable and models of a vendor, asked of who sits there."""
    variable = typer.prompt(f"{kind}: which variable has the key? Nothing for none", default="", show_default=False)
    if not variable:
        return None, []
    names = typer.prompt(f"{kind}: which models? With commas between")
    return variable, [name.strip() for name in names.split(",") if name.strip()]


def _asker(home: pathlib.Path, credential: pathlib.Path | None) -> "Ask":
    from services.cli import operating

    place = _home(home)
    return functools.partial(operating.ask, place, reachable(place), credential.absolute() if credential else None)


def _hand_over(credential: str, key: dict[str, Any], *, as_json: bool) -> None:
    """A new credential, alone on standard output, and what it is beside it."""
    if as_json:
        print(json.dumps({"credential": credential, **key}, indent=2))
        return
    print(f"key {key['key_id']}; what follows is shown this once:", file=sys.stderr)
    print(credential)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _console() -> Console:
    # A file or a pipe has no edge at which to fold or cut.
    return Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)


def _home(path: pathlib.Path) -> Home:
    return Home(path.expanduser().resolve())


def _start(
    home: Home,
    config: pathlib.Path,
    port: int | None,
    *,
    detach: bool,
    observed: bool,
    progress_fd: int | None,
    host: str | None = None,
) -> None:
    from services.cli import detach as detached
    from services.cli import up as foreground
    from services.cli.progress import to_terminal

    if detach:
        detached.start(home, config, port, observed=observed, host=host)
    elif progress_fd is not None:
        detached.serve(home, config, port, progress_fd, observed=observed, host=host)
    else:
        with contextlib.closing(to_terminal()) as progress:
            foreground.up(home, config, port, progress, stopped_by="Ctrl-C", observed=observed, host=host)


def main() -> None:
    """Run the command line."""
    # Being asked to end is Ctrl-C for every subcommand; the supervisor has handlers of its own once it runs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(prog_name="hybrid")
    except Problem as problem:
        print(problem, file=sys.stderr)
        sys.exit(problem.code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
