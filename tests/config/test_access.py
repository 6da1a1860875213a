"""Who may call, in a configuration: without keys only this host; and the admin section."""

import pytest

from services.chassis import config
from services.config import fixed
from services.config.mesh import MeshConfig

MESH = """
providers: {e: {kind: echo, models: [m]}}
models: [{name: m, aliases: [other], routes: [{provider: e}]}]
"""


def parsed(admin: str) -> MeshConfig:
    return config.parse(f"{MESH}admin: {admin}\n", MeshConfig, source="mesh.yaml", environment={})


KEYLESS = f"access: {{keyless: true}}\n{MESH}"


def keyless(more: str) -> MeshConfig:
    return config.parse(f"{KEYLESS}{more}\n", MeshConfig, source="mesh.yaml", environment={})


@pytest.mark.parametrize(
    "more",
    [
        "",
        "edge: {host: localhost}",
        "edge: {host: '::1'}",
        "edge: {host: 127.9.9.9}",
        "gateway: {listen: '127.0.0.1:1'}",
        "gateway: {listen: ['[::1]:1', 'unix:run/g.sock', 'localhost:2']}",
    ],
)
def test_without_keys_this_host_may_call(more: str) -> None:
    assert keyless(more).access.keyless


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("edge: {host: 0.0.0.0}", "`edge.host` is 0.0.0.0"),
        ("edge: {host: '::'}", "`edge.host` is ::"),
        ("edge: {host: 192.168.1.7}", "`edge.host` is 192.168.1.7"),
        ("edge: {host: localhost.example.com}", "`edge.host` is localhost.example.com"),
        ("edge: {host: ''}", "`edge.host` is "),
        ("gateway: {listen: '0.0.0.0:1'}", "`gateway.listen` has 0.0.0.0:1"),
        ("gateway: {listen: '[::]:1'}", "`gateway.listen` has [::]:1"),
        ("gateway: {listen: ['unix:run/g.sock', 'gateway-2:1']}", "`gateway.listen` has gateway-2:1"),
    ],
)
def test_without_keys_nobody_else_may_and_it_says_what_to_do(more: str, says: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        keyless(more)
    told = str(caught.value)
    assert told.startswith(f"mesh.yaml:5: {says}; without keys only this host may call")
    assert "remove `access.keyless` and make keys" in told
    assert config.parse(f"encrypted_network: true{MESH}{more}\n", MeshConfig, source="mesh.yaml", environment={})


@pytest.mark.parametrize(("access", "key"), [("{keyless: true}", "keyless"), ("{pepper: other}", "pepper")])
def test_who_may_call_changes_with_a_restart_alone(access: str, key: str) -> None:
    running, wanted = (
        config.parse(f"access: {each}\n{MESH}", MeshConfig, source="m", environment={}) for each in ("{}", access)
    )
    with pytest.raises(config.ConfigError, match=f"`access.{key}` takes effect at restart"):
        fixed.require_same(running, wanted, source="mesh.yaml")
    more = config.parse(f"access: {{cached_keys: 5}}\n{MESH}", MeshConfig, source="m", environment={})
    fixed.require_same(running, more, source="mesh.yaml")


def test_a_mesh_needs_keys_unless_it_is_told_otherwise() -> None:
    assert not parsed("{}").access.keyless


@pytest.mark.parametrize("address", ["unix:run/a.sock", "127.0.0.1:9000", "localhost:9000", "[::1]:9000"])
def test_the_admin_service_listens_where_this_host_alone_reaches_it(address: str) -> None:
    assert parsed(f'{{listen: "{address}"}}').admin.listen == address


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "[::]", "admin.example.com", "127.0.0.1.example.com"])
def test_elsewhere_it_would_send_credentials_in_the_clear_and_is_refused(host: str) -> None:
    with pytest.raises(config.ConfigError, match=r"mesh.yaml:4: `admin.listen` has .*in the clear"):
        parsed(f'{{listen: "{host}:9000"}}')


@pytest.mark.parametrize("address", ["9000", "127.0.0.1", "127.0.0.1:", "[::1]:0", "127.0.0.1:x", "127.0.0.1:99999"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(config.ConfigError, match="is no address: unix:PATH or HOST:PORT"):
        parsed(f'{{listen: "{address}"}}')


def test_a_ceiling_names_models_by_their_own_names() -> None:
    ceiling = "operators: [{name: o, credential: c, ceiling: {models: [%s]}}]"
    assert parsed(f"{{{ceiling % 'm'}}}").admin.operators[0].ceiling.models == ("m",)
    for name, why in (
        ("none", "there is no model `none`; there are: m"),
        ("other", "`other` is an alias; name .* `m`"),
    ):
        with pytest.raises(config.ConfigError, match=f"operator `o`: {why}"):
            parsed(f"{{{ceiling % name}}}")
