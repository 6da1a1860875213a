"""The edge's own certificate for gateways, in what Envoy is told."""

import datetime
import pathlib
import tempfile

import pytest
import yaml

from services.chassis.config import ConfigError
from services.cli import certs, edge, edge_files
from services.cli.home import Home
from services.config.mesh import MeshConfig
from tests.cli.test_certs import MTLS

LISTEN = ("unix:run/g.sock", "10.0.0.7:50051", "gateway.example:50052")


def config(listen=LISTEN, mtls=MTLS):
    return MeshConfig.model_validate(
        {
            "providers": {"echo": {"kind": "echo"}},
            "models": [{"name": "echo", "routes": [{"provider": "echo"}]}],
            "gateway": {"listen": listen},
            "mtls": mtls,
        }
    )


@pytest.fixture(scope="module")
def home():
    """With certificates; short enough for Envoy's sockets."""
    with tempfile.TemporaryDirectory(prefix="edge", dir="/tmp") as name:
        path = pathlib.Path(name)
        now = datetime.datetime.now(datetime.UTC)
        certs.init(path / "authority", days=10, now=now)
        certs.issue(config(), Home(path), path / "authority", processes=[], days=1, now=now)
        yield path


def test_a_gateway_on_a_port_is_called_over_tls_and_one_on_a_socket_is_not(home):
    (cluster,) = yaml.safe_load(edge.render(config(), home=home).read_text())["static_resources"]["clusters"]
    ends = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert ["metadata" in end for end in ends] == [False, True, True]
    (match,) = cluster["transport_socket_matches"]
    assert match["match"] == ends[1]["metadata"]["filter_metadata"]["envoy.transport_socket_match"]
    context = match["transport_socket"]["typed_config"]["common_tls_context"]
    (name,) = context["validation_context"]["match_typed_subject_alt_names"]
    assert name == {"san_type": "URI", "matcher": {"prefix": "spiffe://hybridinference/gateway/"}}


def test_envoy_accepts_it_whole_and_in_parts_and_no_key_is_in_any(home):
    path = edge.render(config(), home=home)
    edge.validate(path)
    edge.validate(edge.live(path))
    key = (home / "tls/envoy.key").read_text().splitlines()[1]
    assert not [file for file in (home / "run").rglob("*.json") if key in file.read_text()]
    parts = edge_files.split(yaml.safe_load(path.read_text()))
    assert len(parts.secrets) == 2
    assert "tls_certificates" not in str(parts.bootstrap)


def test_without_certificates_nothing_of_it_is_there(home):
    told = edge.render(config(("unix:run/g.sock", "127.0.0.1:50051"), None), home=home).read_text()
    assert "transport_socket_match" not in told.replace("transport_socket_matches: null", "")


def test_a_certificate_that_cannot_be_used_is_told_before_envoy_hears_of_it(home):
    other = {**MTLS, "key": "tls/router.key"}
    with pytest.raises(ConfigError, match=r"the certificate of envoy .*the key is not that of the certificate"):
        edge.render(config(mtls=other), home=home)
    missing = {**MTLS, "certificate": "tls/nobody.pem"}
    with pytest.raises(ConfigError, match=r"tls/nobody.pem cannot be read: .*`hybrid certs issue` makes"):
        edge.render(config(mtls=missing), home=home)
