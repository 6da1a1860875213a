"""Ports for Prometheus: which process has which, and what is refused."""

import re
from typing import Any

import pydantic
import pytest

from services.chassis.config import ConfigError
from services.config.mesh import MeshConfig

BASE: dict[str, Any] = {
    "gateway": {"instances": 2},
    "router": {"instances": 2},
    "providers": {"a": {"kind": "echo", "workers": 2}, "b": {"kind": "echo"}},
    "models": [{"name": "m", "routes": [{"provider": "a"}]}],
}
SOCKET = "unix:run/{}.metrics.sock"


def config(**sections: Any) -> MeshConfig:
    return MeshConfig.model_validate({**BASE, **sections})


def addresses(found: MeshConfig) -> dict[str, str]:
    return {name: found.metrics_address(name) for name, _, _ in found.roles()}


def test_without_a_port_every_process_has_a_socket() -> None:
    found = addresses(config())
    assert found == {name: SOCKET.format(name) for name in found}
    assert set(found) >= {"admin", "gateway", "gateway-2", "loader-2", "router-2", "a-1", "b-0"}


def test_with_a_port_every_process_has_one_of_its_own() -> None:
    found = addresses(config(metrics={"port": 9400}))
    assert found["envoy"] == "127.0.0.1:9400"
    assert found["admin"] == "127.0.0.1:9401"
    assert (found["gateway"], found["gateway-2"]) == ("127.0.0.1:9500", "127.0.0.1:9501")
    assert (found["loader"], found["loader-2"]) == ("127.0.0.1:9600", "127.0.0.1:9601")
    assert (found["router"], found["router-2"]) == ("127.0.0.1:9700", "127.0.0.1:9701")
    assert (found["a-0"], found["a-1"], found["b-0"]) == ("127.0.0.1:9800", "127.0.0.1:9801", "127.0.0.1:9802")


def test_nobodys_port_moves_when_gateways_or_routers_come_or_go() -> None:
    few = addresses(config(metrics={"port": 9400}))
    many = addresses(config(metrics={"port": 9400}, gateway={"instances": 64}, router={"instances": 5}))
    assert few.items() <= many.items()
    assert len(set(many.values())) == len(many)


def test_an_address_of_ipv6_has_brackets() -> None:
    assert config(metrics={"port": 9400, "host": "::1"}).metrics_address("admin") == "[::1]:9401"


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"metrics": {"port": 8080}}, "`metrics.port`: envoy would have port 8080, which is `edge.port`"),
        ({"metrics": {"port": 9090}}, "`observability.prometheus_port`"),
        ({"metrics": {"port": 9400}, "admin": {"listen": "127.0.0.1:9500"}}, "gateway would have port 9500"),
        (
            {"metrics": {"port": 9400}, "providers": {"a": {"kind": "echo", "workers": ["10.0.0.1:9401"]}}},
            "`providers.a.workers`",
        ),
        ({"metrics": {"host": "0.0.0.0"}}, "give a `port`, too"),
        ({"metrics": {"port": 9400, "listen": "unix:x"}}, "give one of them"),
        ({"metrics": {"port": 65_000}}, "60000"),
        ({"observability": {"prometheus_port": 9093}}, "the same port"),
    ],
)
def test_what_cannot_be_listened_on_is_refused(sections: dict[str, Any], said: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=re.escape(said)):
        config(**sections)


def test_who_is_not_there_has_no_address() -> None:
    with pytest.raises(ConfigError, match="no process `nobody`; there are: envoy, admin, gateway"):
        config().metrics_address("nobody")
