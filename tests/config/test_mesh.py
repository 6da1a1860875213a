"""The configuration of a mesh."""

import pathlib
import re

import pytest
import yaml

from services.chassis.config import ConfigError
from services.cli import check
from services.config import mesh
from services.config.edge import Edge

_BASE = """encrypted_network: true
providers:
  local: {kind: vllm, model: models/smollm2/, workers: 2}
  far: {kind: echo, models: [small, large], workers: ["10.0.0.1:9000", "unix:run/far.sock"]}
models:
- name: smollm2
  routes:
  - {provider: local}
  - {provider: far, model: small, role: fallback}
"""


def read(text: str, tmp_path: pathlib.Path, **environment: str) -> mesh.MeshConfig:
    path = tmp_path / "mesh.yaml"
    path.write_text(text, encoding="utf-8")
    return mesh.load(path, environment)


def problem(text: str, tmp_path: pathlib.Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, tmp_path)
    return str(caught.value)


def test_every_worker_has_a_name_and_an_address_of_its_own(tmp_path: pathlib.Path) -> None:
    config = read(_BASE, tmp_path)
    assert [(place.name, place.provider, place.address) for place in config.workers()] == [
        ("local-0", "local", "unix:run/worker-local-0.sock"),
        ("local-1", "local", "unix:run/worker-local-1.sock"),
        ("far-0", "far", "10.0.0.1:9000"),
        ("far-1", "far", "unix:run/far.sock"),
    ]


@pytest.mark.parametrize(
    ("settings", "cores"),
    [
        ("workers: 2", 2),
        ("workers: 2, threads: 3", 6),
        ("workers: 2, threads: 3, devices: [0, 1]", 4),
        ('threads: 3, workers: ["10.0.0.1:9001", "unix:run/a.sock"]', 3),
    ],
)
def test_engines_keep_as_many_cores_of_their_host_busy_as_they_have_threads(
    settings: str, cores: int, tmp_path: pathlib.Path
) -> None:
    config = read(_BASE.replace("workers: 2", settings, 1), tmp_path)
    assert config.engine_cores(config.beside("gateway")) == cores


def test_a_route_without_a_model_means_the_only_one(tmp_path: pathlib.Path) -> None:
    config = read(_BASE, tmp_path)
    assert [config.provider_model(route) for route in config.models[0].routes] == ["smollm2", "small"]


def test_the_metrics_address_is_one_per_process_whatever_it_looks_like(tmp_path: pathlib.Path) -> None:
    assert read(_BASE, tmp_path).metrics_address("router") == "unix:run/router.metrics.sock"
    odd = _BASE + "metrics: {listen: 'unix:run/{process}/{x}{.sock'}\n"
    assert read(odd, tmp_path).metrics_address("router") == "unix:run/router/{x}{.sock"


def test_the_version_is_stable_and_follows_the_content(tmp_path: pathlib.Path) -> None:
    first = read(_BASE, tmp_path).version
    assert len(first) == 12
    assert int(first, 16) >= 0
    assert read("# a comment\n" + _BASE, tmp_path).version == first
    assert read(_BASE + "log: {level: info}\n", tmp_path).version == first  # the default, spelled out
    assert read(_BASE + "log: {level: debug}\n", tmp_path).version != first
    assert read(_BASE.replace("smollm2", "smollm3"), tmp_path).version != first


def test_the_version_does_not_depend_on_a_secret(tmp_path: pathlib.Path) -> None:
    text = _BASE + "ledger: {dsn: '${DSN}'}\n"
    first, second = (read(text, tmp_path, DSN=dsn) for dsn in ("postgres://a:canary1@h/d", "postgres://a:canary2@h/d"))
    assert first.version == second.version
    assert first.ledger.dsn is not None
    assert first.ledger.dsn.get_secret_value() == "postgres://a:canary1@h/d"
    assert "canary" not in repr(first) + first.model_dump_json() + repr(first.model_dump())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_BASE.replace("provider: local", "provider: locl"), "mesh.yaml:8: model `smollm2`: no provider `locl`"),
        (
            _BASE.replace("model: small,", "model: tiny,"),
            "mesh.yaml:9: model `smollm2`: `far` does not serve `tiny`; there are: large, small",
        ),
        (_BASE.replace("model: small, ", ""), "mesh.yaml:9: model `smollm2`: say which model of"),
        (_BASE + "- name: smollm2\n  routes: [{provider: local}]\n", "mesh.yaml:10: model `smollm2` is given twice"),
        (_BASE + "  aliases: [smollm2]\n", "mesh.yaml:10: model `smollm2` is given twice"),
        (
            _BASE + "flags: {hedging: {models: [tiny]}}\n",
            "mesh.yaml:10: flags: there is no model `tiny`; there are: smollm2",
        ),
        (_BASE + "  strategy: [cost]\n", "mesh.yaml:10: `models.0.strategy`: must be a strategy's name, or"),
        (_BASE + "flags: {hedging: maybe}\n", "mesh.yaml:10: `flags.hedging`: must be true, false, or"),
        (_BASE + "  slo: 2\n", "mesh.yaml:10: `models.0.slo`: must be a mapping"),
        (_BASE + "  aliases: small\n", "mesh.yaml:10: `models.0.aliases`: must be a list"),
        (_BASE + "  strategy: {name: cost, affinity: 1}\n", "`models.0.strategy.affinity` is not known here"),
        (
            _BASE.replace("unix:run/far.sock", "10.0.0.1:9000"),
            "mesh.yaml:4: two workers have the address 10.0.0.1:9000",
        ),
        (_BASE.replace("unix:run/far.sock", "unix:run/worker-local-1.sock"), "two workers have the address unix:run/"),
        (
            _BASE.replace("far: {", "'a/b': {").replace("provider: far", "provider: a/b"),
            "mesh.yaml:4: provider `a/b`: a name is",
        ),
        (
            _BASE.replace("kind: echo", "kind: ecko"),
            "mesh.yaml:4: `providers.far`: `kind` is 'ecko', and must be one of",
        ),
        (_BASE.replace("workers: 2", "workers: 0"), "mesh.yaml:3: `providers.local.workers`"),
        (_BASE.replace("workers: 2", "workers: []"), "mesh.yaml:3: `providers.local.workers`"),
        (_BASE.replace("role: fallback", "rolle: fallback"), "is not known; did you mean `role`?"),
        (_BASE + "router: {retry: {max_attempts: 0}}\n", "mesh.yaml:10: `router.retry.max_attempts`"),
        (_BASE + "log: {level: loud}\n", "mesh.yaml:10: `log.level`"),
        ("models: []\nproviders: {}\n", "mesh.yaml:1: `models`"),
        ("models: [{name: x, routes: [{provider: y}]}]\n", "`providers` is required"),
        (_BASE.replace("kind: echo, ", ""), "mesh.yaml:4: `providers.far`: `kind` is required"),
    ],
)
def test_a_mistake_is_told(tmp_path: pathlib.Path, text: str, says: str) -> None:
    assert says in problem(text, tmp_path)


def test_a_mistake_is_told_once_and_in_plain_words(tmp_path: pathlib.Path) -> None:
    told = problem(_BASE.replace("workers: 2", "workers: 0"), tmp_path)
    assert told.count("providers.local.workers") == 1
    assert "greater than or equal to 1" in told
    told = problem("providers: {a-b: 3, c-d: {}}\nmodels: []\n", tmp_path)
    assert "providers.a-b" in told
    assert "providers.c-d" in told
    told = problem(_BASE.replace("provider: local", "provider: locl"), tmp_path)
    assert told.endswith("/mesh.yaml:8: model `smollm2`: no provider `locl`; did you mean `local`?")


def test_the_configuration_cannot_be_changed(tmp_path: pathlib.Path) -> None:
    config = read(_BASE, tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        config.log.level = "debug"


VENDOR = """
providers:
  vendor: {kind: openai, api_keys: ["${KEY}", none], models: [a, b]}
models:
- {name: m, routes: [{provider: vendor, model: b}]}
"""


def test_a_vendors_key_is_shown_nowhere_and_is_no_part_of_the_version(tmp_path: pathlib.Path) -> None:
    config = read(VENDOR, tmp_path, KEY="sk-canary")
    assert "canary" not in f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"
    assert config.version == read(VENDOR, tmp_path, KEY="sk-another").version
    assert config.providers["vendor"].model_names == ("a", "b")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"${KEY}", none', ""),
        ("models: [a, b]", "models: []"),
        ("models: [a, b]", "models: [a, b], capabilities: [flying]"),
        ("models: [a, b]", "models: [a, b], base_url: ftp://x"),
        ("models: [a, b]", "models: [a, b], base_url: 'https://user:sk-canary@x/v1'"),
        ("models: [a, b]", "models: [a, b], first_token_seconds: 0"),
        ('"${KEY}"', '"sk-canary with spaces"'),
        ('"${KEY}"', '"sk-canary\\n"'),
        ('"${KEY}", none', '"${KEY}", other, "${KEY}"'),
    ],
)
def test_a_bad_vendor_is_told_without_its_keys(old: str, new: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(VENDOR.replace(old, new), tmp_path, KEY="sk-canary")
    told = str(caught.value)
    assert "mesh.yaml:3: `providers.vendor" in told
    assert "canary" not in told


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ("models: [a], capabilities: [chat, logit_bias]", "logit_bias"),
        ("models: [{name: a, capabilities: [embeddings, token_inputs]}]", "token_inputs"),
        ("models: [a], capabilities: [provider_options]", "provider_options"),
    ],
)
def test_gemini_cannot_be_said_to_have_what_its_api_has_not(
    settings: str, missing: str, tmp_path: pathlib.Path
) -> None:
    config = VENDOR.replace("openai", "gemini").replace("models: [a, b]", settings).replace("model: b", "model: a")
    with pytest.raises(ConfigError, match=f"the Gemini API has no `{missing}`"):
        read(config, tmp_path, KEY="k")


def test_every_gateway_has_an_address_a_spool_and_a_loader_of_its_own(tmp_path: pathlib.Path) -> None:
    def places(gateway: str) -> list[tuple[str, str, str, str]]:
        found = read(f"{_BASE}gateway: {gateway}\n", tmp_path).gateways()
        return [(place.name, place.address, place.spool, place.loader) for place in found]

    first = ("gateway", "unix:run/gateway.sock", "spool", "loader")
    assert places("{}") == [first]
    assert places("{instances: 2}") == [first, ("gateway-2", "unix:run/gateway-2.sock", "spool-2", "loader-2")]
    assert places("{listen: ['10.0.0.7:50051', 'unix:run/g.sock'], spool: s}") == [
        ("gateway", "10.0.0.7:50051", "s", "loader"),
        ("gateway-2", "unix:run/g.sock", "s-2", "loader-2"),
    ]


@pytest.mark.parametrize(
    ("gateway", "why"),
    [
        ("{instances: 2, listen: '127.0.0.1:50051'}", "2 gateways need a list of 2 addresses"),
        ("{instances: 3, listen: ['unix:a', 'unix:b']}", "has 2 addresses for 3 gateways"),
        ("{listen: ['unix:a', 'unix:a']}", "two gateways have the same address"),
        ("{listen: []}", "names no address"),
    ],
)
def test_gateways_whose_addresses_do_not_add_up_are_refused(tmp_path: pathlib.Path, gateway: str, why: str) -> None:
    assert why in problem(f"{_BASE}gateway: {gateway}\n", tmp_path)


def test_a_gateway_that_is_not_configured_is_told(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="no gateway `gateway-2`; there are: gateway"):
        read(_BASE, tmp_path).gateway_place("gateway-2")


@pytest.mark.parametrize("origin", ["https://app.example", "http://localhost:*", "http://[::1]:3000", "*"])
def test_an_origin_is_what_a_browser_sends(tmp_path: pathlib.Path, origin: str) -> None:
    assert read(f"{_BASE}edge: {{cors_origins: ['{origin}']}}\n", tmp_path).edge.cors_origins == (origin,)


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/", "https://*.example", "", "null"])
def test_what_no_browser_sends_is_refused(tmp_path: pathlib.Path, origin: str) -> None:
    assert "is not an origin" in problem(f"{_BASE}edge: {{cors_origins: ['{origin}']}}\n", tmp_path)


@pytest.mark.parametrize("limit", ["request_bytes: 70000000", "headers_kib: 61", "header_seconds: 0", "connections: 0"])
def test_the_edges_limits_stay_below_the_gateways_and_above_nothing(tmp_path: pathlib.Path, limit: str) -> None:
    assert f"edge.limits.{limit.partition(':')[0]}" in problem(f"{_BASE}edge: {{limits: {{{limit}}}}}\n", tmp_path)


def test_the_edges_document_shows_every_setting_with_its_default(tmp_path: pathlib.Path) -> None:
    document = (pathlib.Path(__file__).parents[2] / "docs" / "edge.md").read_text(encoding="utf-8")
    shown, secured = re.findall(r"^```yaml\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    assert yaml.safe_load(shown)["edge"] == Edge().model_dump(mode="json")
    tls = read(f"{_BASE}{secured}", tmp_path).edge.tls
    assert tls is not None
    assert all(value is not None for _, value in tls), "every setting is shown"


EXPOSED = [
    ("providers: {e: {kind: echo, workers: ['unix:run/w.sock', '10.0.0.1:7001']}}", "providers.e.workers"),
    ("router: {listen: 'router.example:7100'}", "router.listen"),
    ("gateway: {listen: '0.0.0.0:7200'}", "gateway.listen"),
    ("admin: {listen: '[::]:7300'}", "admin.listen"),
]


def _named(section: str) -> str:
    provider = "" if section.startswith("providers") else "providers: {e: {kind: echo}}\n"
    return f"{provider}{section}\nmodels: [{{name: m, routes: [{{provider: e}}]}}]\n"


@pytest.mark.parametrize(("section", "setting"), EXPOSED)
def test_what_others_than_this_host_reach_in_the_clear_is_refused(
    tmp_path: pathlib.Path, section: str, setting: str
) -> None:
    told = problem(_named(section), tmp_path)
    assert f"`{setting}` has " in told
    assert "`mtls`" in told
    assert "`encrypted_network: true`" in told


@pytest.mark.parametrize(("section", "setting"), EXPOSED)
@pytest.mark.parametrize("more", ["mtls: {ca: c, certificate: 'd/{process}', key: k}", "encrypted_network: true"])
def test_with_certificates_or_a_network_that_encrypts_it_is_not(
    tmp_path: pathlib.Path, section: str, setting: str, more: str
) -> None:
    assert read(f"{_named(section)}{more}\n", tmp_path), setting


def test_this_host_alone_is_reached_without_certificates(tmp_path: pathlib.Path) -> None:
    section = "router: {listen: 'localhost:7100'}\ngateway: {listen: '[::1]:7200'}\nadmin: {listen: '127.0.0.2:7300'}"
    assert read(_named(section), tmp_path).mtls is None


def test_without_keys_a_gateway_that_only_certificates_reach_may_be_anywhere(tmp_path: pathlib.Path) -> None:
    text = f"{_named(EXPOSED[2][0])}access: {{keyless: true}}\n"
    assert "without keys only this host may call" in problem(f"{text}encrypted_network: true\n", tmp_path)
    assert read(f"{text}mtls: {{ca: c, certificate: d, key: k}}\n", tmp_path).mtls


def test_the_summary_says_when_a_route_serves(tmp_path: pathlib.Path) -> None:
    more = "  - {provider: far, model: large, role: canary, share: 0.05}\n"
    told = check.summary(read(_BASE + more, tmp_path))
    assert "least_loaded over local/smollm2, far/small (fallback), far/large (canary of 5 %)" in told


def _hosted(hosts: str, more: str = "") -> str:
    return f"""encrypted_network: true
providers: {{echo: {{kind: echo, workers: ["10.0.0.1:7001", "10.0.0.2:7001"]}}}}
models: [{{name: echo, routes: [{{provider: echo}}]}}]
router: {{listen: ["10.0.0.1:7100", "10.0.0.2:7100"]}}
hosts: {hosts}
ledger: {{dsn: "postgresql://db/hybrid"}}
{more}
"""


def test_routers_are_named_in_the_order_of_their_addresses(tmp_path: pathlib.Path) -> None:
    config = read(_hosted("{}"), tmp_path)
    assert [(place.name, place.address) for place in config.routers()] == [
        ("router", "10.0.0.1:7100"),
        ("router-2", "10.0.0.2:7100"),
    ]


@pytest.mark.parametrize(
    ("hosts", "wrong"),
    [
        ("{a: [envoy, gateway, router, admin, echo-0], b: [envoy, router-2]}", "`echo-1` is on no host"),
        ("{a: [gateway, router, admin, echo-0], b: [echo-0, echo-1, router-2]}", "`echo-0` is on two hosts"),
        ("{a: [gateway, router, admin, echo-0, rooter]}", "there is no process `rooter`"),
    ],
)
def test_a_process_on_no_host_or_on_two_is_named(tmp_path: pathlib.Path, hosts: str, wrong: str) -> None:
    assert wrong in problem(_hosted(hosts), tmp_path)


REACHED = """
ledger: {{dsn: "postgresql://db/ledger"}}
encrypted_network: true
gateway: {{listen: "{gateway}"}}
router: {{listen: "{router}"}}
providers: {{e: {{kind: echo, workers: ["{worker}"]}}}}
models: [{{name: m, routes: [{{provider: e}}]}}]
hosts:
  one: [{envoy}gateway, admin]
  two: [router, e-0, envoy]
"""
EVERYWHERE = {"gateway": "one:7000", "router": "two:7001", "worker": "two:7100", "envoy": ""}


@pytest.mark.parametrize("who", ["gateway", "router", "worker"])
@pytest.mark.parametrize("address", ["unix:run/x.sock", "127.0.0.1:7000"])
def test_what_other_hosts_have_to_reach_has_an_address_that_leads_there(
    who: str, address: str, tmp_path: pathlib.Path
) -> None:
    assert read(REACHED.format(**EVERYWHERE), tmp_path).hosts
    name = {"gateway": "gateway", "router": "router", "worker": "e-0"}[who]
    with pytest.raises(ConfigError, match=f"`{name}` listens on {address}, and processes of other hosts"):
        read(REACHED.format(**{**EVERYWHERE, who: address}), tmp_path)


def test_what_only_its_own_host_calls_may_be_a_socket(tmp_path: pathlib.Path) -> None:
    text = REACHED.replace("two: [router, e-0, envoy]", "two: [envoy]").replace(
        "gateway, admin]", "gateway, admin, router, e-0]"
    )
    sockets = {"router": "unix:run/router.sock", "worker": "unix:run/e.sock"}
    assert read(text.format(**{**EVERYWHERE, **sockets}), tmp_path).hosts


def test_what_runs_beside_a_process_is_what_its_host_runs(tmp_path: pathlib.Path) -> None:
    config = read(REACHED.format(**EVERYWHERE), tmp_path)
    assert config.beside("gateway") == {"gateway", "loader", "admin"}
    assert config.on("two") == {"router", "e-0", "envoy"}
    alone = read("providers: {e: {kind: echo}}\nmodels: [{name: m, routes: [{provider: e}]}]\n", tmp_path)
    assert alone.beside("router") == {"gateway", "loader", "router", "e-0", "admin", "envoy"}
