"""The admin section of a configuration."""

import pytest

from services.chassis import config
from services.config.mesh import MeshConfig

MESH = """
providers: {e: {kind: echo, models: [m]}}
models: [{name: m, aliases: [other], routes: [{provider: e}]}]
"""


def parsed(admin: str) -> MeshConfig:
    return config.parse(f"{MESH}admin: {admin}\n", MeshConfig, source="mesh.yaml", environment={})


@pytest.mark.parametrize("address", ["unix:run/a.sock", "127.0.0.1:9000", "localhost:9000", "[::1]:9000"])
def test_the_admin_service_listens_where_this_host_alone_reaches_it(address: str) -> None:
    assert parsed(f'{{listen: "{address}"}}').admin.listen == address


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "[::]", "admin.example.com", "127.0.0.1.example.com"])
def test_elsewhere_it_would_send_credentials_in_the_clear_and_is_refused(host: str) -> None:
    with pytest.raises(config.ConfigError, match=r"mesh.yaml:4: `admin.listen`: credentials would cross the network"):
        parsed(f'{{listen: "{host}:9000"}}')


@pytest.mark.parametrize("address", ["9000", "127.0.0.1", "127.0.0.1:", "[::1]:0", "127.0.0.1:x", "127.0.0.1:99999"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(config.ConfigError, match="is no address: unix:PATH or HOST:PORT"):
        parsed(f'{{listen: "{address}"}}')


def test_a_ceiling_names_models_by_their_own_names() -> None:
    ceiling = "operators: [{name: o, credential: c, ceiling: {models: [%s]}}]"
    assert parsed(f"{{{ceiling % 'm'}}}").admin.operators[0].ceiling.models == ("m",)
    for name in ("other", "none"):
        with pytest.raises(config.ConfigError, match=f"operator `o`: there is no model `{name}`; there are: m"):
            parsed(f"{{{ceiling % name}}}")
