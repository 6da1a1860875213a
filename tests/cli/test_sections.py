"""What a change of the configuration is about."""

import pytest

from services.cli import sections
from services.config.mesh import MeshConfig

BASE = {
    "providers": {"a": {"kind": "echo"}, "b": {"kind": "openai", "api_keys": ["k3y"], "models": ["m"]}},
    "models": [{"name": "m", "routes": [{"provider": "a"}]}],
}


def of(**changes):
    return sections.of(MeshConfig.model_validate({**BASE, **changes}))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ()),
        ({"edge": {"limits": {"request_bytes": 5000}, "cors_origins": []}}, ()),
        ({"edge": {"port": 81}}, ("edge.port",)),
        ({"edge": {"limits": {"connections": 5}}}, ("edge.limits.connections",)),
        ({"edge": {"tls": {"certificate": "c", "key": "k"}}}, ("edge.tls",)),
        ({"gateway": {"instances": 2}}, ()),
        ({"gateway": {"max_running": 2}}, ()),
        ({"gateway": {"spool": "s"}}, ("gateway.spool",)),
        ({"router": {"stale_seconds": 2}, "flags": {"hedging": True}}, ()),
        ({"router": {"listen": "unix:r.sock"}, "log": {"level": "debug"}}, ("log", "router.listen")),
        ({"admin": {"operators": [{"name": "o", "credential": "o.key"}]}}, ()),
        ({"access": {"keyless": True, "cached_keys": 5}}, ("access.keyless",)),
        ({"admin": {"listen": "127.0.0.1:9000"}}, ("admin.listen",)),
        ({"ledger": {"retention_months": 13, "replay_hours": 1}}, ("ledger.replay_hours", "ledger.retention_months")),
        ({"providers": {"a": {"kind": "echo", "workers": 2}}}, ("providers.a", "providers.b")),
        ({"models": [{"name": "n", "routes": [{"provider": "a"}]}]}, ()),
    ],
)
def test_a_change_is_named_unless_something_that_runs_takes_it_up(changes, names):
    assert sections.changed(of(), of(**changes)) == names


def test_another_certificate_is_taken_up():
    one, other = (of(edge={"tls": {"certificate": name, "key": name}}) for name in ("one", "other"))
    assert sections.changed(one, other) == ()


def test_no_secret_is_in_it():
    assert "k3y" not in str(of())
    assert all(len(digest) == 16 for digest in of().values())
