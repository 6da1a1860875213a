"""`hybrid reload` before anything of a mesh is touched, and where there is none any more."""

import dataclasses
import json

import pytest

from services.cli import edge, reload, sections
from services.cli.home import Home
from services.cli.problem import Problem
from services.cli.state import MeshState
from services.config.mesh import MeshConfig

CONFIG = {
    "providers": {"echo": {"kind": "echo"}},
    "models": [{"name": "echo", "routes": [{"provider": "echo"}]}],
}


@pytest.fixture
def mesh(home: Home) -> MeshState:
    home.config.write_text(json.dumps(CONFIG))
    return MeshState(1, "ready", str(home.config), "http://localhost", (), None, ())


@pytest.mark.parametrize("phase", ["starting", "stopping"])
def test_only_a_mesh_that_is_ready_takes_up_anything(home: Home, mesh: MeshState, phase: str) -> None:
    with pytest.raises(Problem, match=f"the mesh is {phase}"):
        reload.reload(home, dataclasses.replace(mesh, state=phase))  # type: ignore[arg-type]
    assert not (home.run / "envoy").exists()


def test_a_mesh_that_ends_meanwhile_is_told(home: Home, mesh: MeshState) -> None:
    edge.live(edge.render(MeshConfig.model_validate(CONFIG), home=home.path))
    (home.run / "envoy" / "edge.yaml").unlink()
    with pytest.raises(Problem, match="no mesh is running"):
        reload.reload(home, mesh)


def test_whether_the_edge_speaks_tls_is_settled(home: Home, mesh: MeshState) -> None:
    with pytest.raises(Problem, match="TLS begins and ends with a start") as refused:
        reload.reload(home, dataclasses.replace(mesh, certificate="/tls/edge.crt"))
    assert refused.value.code == 2


def test_what_takes_a_start_of_the_whole_mesh_is_refused_by_its_name(home: Home, mesh: MeshState) -> None:
    started = dataclasses.replace(mesh, sections=sections.of(MeshConfig.model_validate(CONFIG)))
    home.config.write_text(json.dumps({**CONFIG, "router": {"listen": "unix:r.sock"}, "gateway": {"spool": "s"}}))
    with pytest.raises(Problem, match=r"`gateway\.spool`, `router\.listen`: takes effect with a start") as refused:
        reload.reload(home, started)
    assert refused.value.code == 2
    assert not (home.run / "envoy").exists()


def test_where_running_gateways_listen_is_settled(home: Home, mesh: MeshState) -> None:
    path = edge.render(MeshConfig.model_validate({**CONFIG, "gateway": {"instances": 2}}), home=home.path)
    before = path.read_bytes()
    home.config.write_text(json.dumps({**CONFIG, "gateway": {"listen": ["unix:run/a.sock", "unix:run/b.sock"]}}))
    with pytest.raises(Problem, match="gateways that run are moved by a start of the whole mesh") as refused:
        reload.reload(home, mesh)
    assert refused.value.code == 2
    assert path.read_bytes() == before
