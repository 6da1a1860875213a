"""The edge's configuration in parts."""

import yaml

from services.cli import edge, edge_files
from tests.cli.test_edge import config, home, rendered
from tests.edge.certificates import Authority

__all__ = ["home"]  # a fixture


def test_the_parts_say_what_the_whole_says(home):
    whole = rendered(home)
    parts = edge_files.split(whole)
    (listener,) = parts.listeners["resources"]
    assert {key: value for key, value in listener.items() if key != "@type"} == whole["static_resources"]["listeners"][
        0
    ]
    (endpoints,) = parts.endpoints["resources"]
    (cluster,) = whole["static_resources"]["clusters"]
    assert {key: value for key, value in endpoints.items() if key != "@type"} == cluster["load_assignment"]
    assert "listeners" not in parts.bootstrap["static_resources"]
    assert parts.secrets == {}


def test_a_version_changes_with_the_content_alone(home):
    first, again = (edge_files.split(rendered(home)) for _ in range(2))
    other = edge_files.split(rendered(home, edge={"limits": {"headers_kib": 20}}))
    assert edge_files.encoded(first.listeners) == edge_files.encoded(again.listeners)
    assert first.listeners["version_info"] != other.listeners["version_info"]
    assert first.endpoints == other.endpoints


def test_names_are_not_for_files_of_endpoints(home):
    parts = edge_files.split(rendered(home, gateway={"listen": "gateway.example:50051"}))
    (cluster,) = parts.bootstrap["static_resources"]["clusters"]
    assert (cluster["type"], "load_assignment" in cluster) == ("STRICT_DNS", True)
    assert parts.endpoints["resources"] == []


def test_each_certificate_has_a_file_that_the_listener_names_and_no_key_is_in_any(home):
    (home / "tls").mkdir()
    Authority().write(home / "tls", "edge")
    (home / "tls/ca.crt").write_bytes(Authority().pem)
    tls = {"certificate": "tls/edge.crt", "key": "tls/edge.key", "client_ca": "tls/ca.crt"}
    path = edge.render(config(edge={"tls": tls}), home=home)
    edge.validate(path)
    edge.live(path)
    live = home / edge_files.DIRECTORY
    listener = (live / edge_files.LISTENERS).read_text()
    secrets = [file for file in live.iterdir() if file.name not in (edge_files.LISTENERS, edge_files.ENDPOINTS)]
    assert len(secrets) == 2
    for file in secrets:
        assert file.name in listener
        (resource,) = yaml.safe_load(file.read_text())["resources"]
        assert f"{resource['name']}.json" == file.name
    everything = "".join(file.read_text() for file in (home / "run").rglob("*.*") if file.suffix in (".json", ".yaml"))
    assert f"{home}/tls/edge.key" in everything
    assert "PRIVATE" not in everything
