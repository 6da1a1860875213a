"""Commands that talk to a mesh which others run: systemd, or containers."""

import pathlib

import pytest

from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.running import reachable

CONFIG = """\
edge: {port: 8443, host: 0.0.0.0, tls: {certificate: tls/edge.crt, key: tls/edge.key}}
router: {instances: 2}
providers:
  echo: {kind: echo}
models:
  - {name: m, routes: [{provider: echo}]}
"""


def test_without_a_supervisor_it_is_what_the_home_s_configuration_says(tmp_path: pathlib.Path) -> None:
    (tmp_path / "hybrid.yaml").write_text(CONFIG)
    found = reachable(Home(tmp_path))
    assert found.edge == "https://127.0.0.1:8443"
    assert found.routers == ("unix:run/router.sock", "unix:run/router-2.sock")
    assert found.admin == "unix:run/admin.sock"
    assert found.models == ("m",)
    assert found.certificate == str(tmp_path / "tls/edge.crt")
    assert found.processes == ()


def test_with_neither_a_supervisor_nor_a_configuration_there_is_none(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Problem, match="no mesh is running"):
        reachable(Home(tmp_path))
