"""A mesh whose processes are on ports and prove themselves by certificates: it does what others do, and renews them."""

import asyncio
import datetime
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml
from cryptography import x509

from services.cli import admin, certs
from services.cli.home import Home
from services.config.mesh import load as load_config
from tests.mesh import secured
from tests.mesh.driver import ROOT, Mesh, mesh, until

# What is shown of any mesh is shown of this one, too. HYBRID_TEST_MTLS=1 does so with everything in this folder.
from tests.mesh.test_answers import (  # noqa: F401
    test_a_deadline_is_kept_and_its_status_is_typed,
    test_headers_say_how_an_answer_came_about_and_lead_to_its_rows,
    test_plain_json_of_the_typed_api_streams_as_events,
    test_the_official_sdk_gets_a_stream_in_many_pieces_over_time,
)
from tests.mesh.test_gateways import (  # noqa: F401
    test_a_named_request_runs_once_whichever_gateway_its_tries_reach,
    test_a_named_stream_that_was_cut_off_is_whole_at_the_next_try_and_has_run_once,
)
from tests.mesh.test_ledger import test_a_client_that_goes_away_leaves_a_cancelled_row  # noqa: F401
from tests.mesh.test_rolling import Load

pytestmark = [pytest.mark.slow, pytest.mark.edge]

CONFIG = """
gateway: {instances: 2, drain_seconds: 20, keep_alive_seconds: 0.4, show_worker: true}
providers:
  echo: {kind: echo, workers: 2, token_ms: 10, drain_seconds: 30}
models:
  - name: echo
    routes: [{provider: echo}]
  - name: org/echo:small
    routes: [{provider: echo}]
"""
PYTHONS = ("admin", "gateway", "gateway-2", "router", "echo-0", "echo-1")
HOUR = datetime.timedelta(hours=1)
LONG = 800


@pytest.fixture(scope="module")
def echo() -> Iterator[Mesh]:
    """Two gateways, a router, two workers, all on ports."""
    with mesh(CONFIG, mtls=True) as running:
        yield running


@pytest.fixture(scope="module")
def two(echo: Mesh) -> Mesh:
    return echo


def addresses(running: Mesh) -> dict[str, str]:
    """Where each process listens."""
    config = load_config(running.config)
    places = (*config.gateways(), *config.routers(), *config.workers())
    return {"admin": config.admin.listen, **{place.name: place.address for place in places}}


def serial(pem: bytes) -> int:
    return x509.load_pem_x509_certificate(pem).serial_number


def on_disk(running: Mesh, name: str) -> int:
    """The number of a process's certificate, as it lies there."""
    return serial((running.home / f"tls/{name}.pem").read_bytes())


async def shown(running: Mesh, name: str) -> int:
    """The number of the certificate that a process shows to who comes as the `hybrid` command."""
    tls = running.home / "tls"
    context = ssl.create_default_context(cafile=f"{tls}/ca.pem")
    context.load_cert_chain(f"{tls}/cli.pem", f"{tls}/cli.key")
    context.set_alpn_protocols(["h2"])
    role = certs.roles_of(load_config(running.config))[name]
    host, _, port = addresses(running)[name].rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=f"{role}.hybridinference")
    try:
        return int(writer.get_extra_info("ssl_object").getpeercert()["serialNumber"], 16)
    finally:
        writer.transport.abort()


async def of_envoy(running: Mesh) -> set[int]:
    """The numbers of all certificates that Envoy uses."""
    told = json.loads(await admin.ask(running.home / admin.SOCKET, "GET", "/certs"))
    return {
        int(one["serial_number"], 16)
        for each in told["certificates"]
        for one in (*each.get("cert_chain", ()), *each.get("ca_cert", ()))
    }


async def taken_up(running: Mesh) -> None:
    """Wait until everybody shows the certificate that lies there."""
    for name in PYTHONS:
        assert await shown(running, name) == on_disk(running, name), name
    await until(lambda: _envoy_has(running), seconds=30)


async def _envoy_has(running: Mesh) -> bool:
    believed = x509.load_pem_x509_certificates((running.home / "tls/ca.pem").read_bytes())
    return {on_disk(running, "envoy"), *(each.serial_number for each in believed)} <= await of_envoy(running)


def renew(running: Mesh, authority: str = certs.DIRECTORY) -> None:
    """New certificates for everybody, by that authority, which joins those before it."""
    secured.issue(running.home, running.config, authority=authority)


def test_nothing_listens_on_a_socket_but_metrics_and_envoys_own(echo: Mesh) -> None:
    sockets = {path.name for path in (echo.home / "run").glob("*.sock")}
    assert {name for name in sockets if not name.endswith(".metrics.sock")} == {"envoy-admin.sock"}
    assert {address.rpartition(":")[0] for address in addresses(echo).values()} == {"127.0.0.1"}


def test_the_command_reaches_router_and_admin_process(echo: Mesh) -> None:
    status = echo.status()
    assert status["ready"]
    assert {worker["health"] for worker in status["workers"]} == {"healthy"}
    done = echo.hybrid("usage", "--json")
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(300)
async def test_every_certificate_and_the_authority_are_renewed_under_load_and_no_call_is_lost(echo: Mesh) -> None:
    """An authority takes over from another in the four steps of the guide; long streams run through all of them."""
    load = Load(echo)
    under_load = asyncio.create_task(load.run())

    async def long() -> tuple[int, str | None]:
        words, reason = 0, None
        options = {"echo": {"tokens": LONG}}
        async with echo.async_client() as client:
            ask = client.chat.completions.create
            messages = [{"role": "user", "content": "word"}]
            stream = await ask(model="echo", messages=messages, stream=True, extra_body=options)
            async for chunk in stream:
                for choice in chunk.choices:
                    words += bool(choice.delta.content)
                    reason = choice.finish_reason or reason
        return words, reason

    async def go_on() -> None:
        await taken_up(echo)
        seen = load.ended.total()
        await until(lambda: load.ended.total() > seen + 10, seconds=60)

    streams = [asyncio.create_task(long()) for _ in range(4)]
    await until(lambda: min(load.ended[kind] for kind in ("stream", "call", "typed")) >= 2, seconds=60)
    before = {name: on_disk(echo, name) for name in PYTHONS}
    renew(echo)
    await go_on()
    assert all(on_disk(echo, name) != number for name, number in before.items())
    # Both authorities are believed everywhere before anybody has a certificate of the new one.
    now = datetime.datetime.now(datetime.UTC)
    certs.init(echo.home / "next", days=2, now=now)
    certs._believe(echo.home / "tls/ca.pem", (echo.home / "next/ca.pem").read_bytes())
    await go_on()
    renew(echo, "next")
    await go_on()
    certs._write(echo.home / "tls/ca.pem", (echo.home / "next/ca.pem").read_bytes())
    await go_on()
    # What connects anew, on either side, is believed under the new one alone.
    for name in ("echo-0", "router"):
        done = await asyncio.to_thread(echo.hybrid, "restart", name, timeout=120)
        assert done.returncode == 0, done.stderr
        await go_on()
    load.end()
    await under_load
    assert await asyncio.gather(*streams) == [(LONG, "stop")] * 4
    print(f"{load.ended.total()} calls: {dict(load.ended)}; lost {len(load.failed)}")
    assert not load.failed


def test_a_process_whose_certificate_cannot_be_used_does_not_start_and_says_why(echo: Mesh) -> None:
    home = echo.home / "late"
    home.mkdir()
    config = yaml.safe_load(echo.config.read_text())
    (home / "hybrid.yaml").write_text(yaml.safe_dump(config))

    def started() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "services.router", "--config", "hybrid.yaml"],
            cwd=home,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/gen"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    missing = started()
    assert missing.returncode == 2
    assert "the certificate of router (tls/router.pem)" in missing.stderr
    assert "`hybrid certs issue` makes" in missing.stderr
    late = datetime.datetime.now(datetime.UTC) - 2 * HOUR
    certs.init(home / "authority", days=2, now=late)
    read = load_config(home / "hybrid.yaml")
    certs.issue(read, Home(home), home / "authority", processes=["router"], days=1 / 24, now=late)
    expired = started()
    assert expired.returncode == 2
    assert "the certificate has expired on" in expired.stderr
