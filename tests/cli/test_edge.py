"""Rendering the edge's configuration."""

import pathlib
import re
import resource
import tempfile

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool

from services.chassis import register
from services.chassis.config import ConfigError
from services.cli import edge
from services.config.mesh import MeshConfig


def config(**sections):
    model = {"name": "echo", "routes": [{"provider": "echo"}]}
    return MeshConfig.model_validate(
        {"providers": {"echo": {"kind": "echo"}}, "models": [model], "encrypted_network": True, **sections}
    )


@pytest.fixture
def home():
    """Short enough for Envoy's sockets."""
    with tempfile.TemporaryDirectory(prefix="edge", dir="/tmp") as directory:
        yield pathlib.Path(directory)


def rendered(home, **sections):
    return yaml.safe_load(edge.render(config(**sections), home=home).read_text())


def cluster(home, listen):
    (only,) = rendered(home, gateway={"listen": listen})["static_resources"]["clusters"]
    endpoint = only["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    return only["type"], endpoint["address"]


def test_everything_is_below_the_home_and_relative_to_it(home):
    path = edge.render(config(), home=home)
    assert path == home / "run/envoy/edge.yaml"
    text = path.read_text()
    assert str(home) not in text
    assert "$" not in text.split("static_resources:")[1]
    (descriptors,) = (home / "run/envoy").glob("mesh-*.pb")
    (lua,) = (home / "run/envoy").glob("edge-*.lua")
    for name in (f"run/envoy/{lua.name}", f"run/envoy/{descriptors.name}"):
        assert name in text
        assert (home / name).exists()
    assert (home / "logs").is_dir()
    assert not list((home / "run/envoy").glob(".*"))  # no drafts


def test_envoy_accepts_it(home):
    edge.validate(edge.render(config(), home=home))
    edge.validate(edge.render(config(gateway={"listen": "gateway.example:50051"}), home=home))


def test_what_envoy_refuses_is_told(home):
    path = edge.render(config(), home=home)
    path.write_text(path.read_text().replace("codec_type: AUTO", "codec_type: CARRIER_PIGEON"))
    with pytest.raises(ConfigError, match="CARRIER_PIGEON"):
        edge.validate(path)


def test_an_envoy_that_does_not_come_to_an_end_of_it_is_told(home, monkeypatch):
    monkeypatch.setattr(edge, "_VALIDATION_SECONDS", 0.05)
    with pytest.raises(ConfigError, match="has not checked it"):
        edge.validate(edge.render(config(), home=home))


def test_the_port_may_be_overridden(home):
    for port, expected in ((None, 8123), (9000, 9000)):
        path = edge.render(config(edge={"host": "localhost", "port": 8123}), home=home, port=port)
        (listener,) = yaml.safe_load(path.read_text())["static_resources"]["listeners"]
        assert listener["address"] == {"socket_address": {"address": "127.0.0.1", "port_value": expected}}


@pytest.mark.parametrize(
    ("listen", "kind", "address"),
    [
        ("unix:run/gateway.sock", "STATIC", {"pipe": {"path": "run/gateway.sock"}}),
        ("10.0.0.7:50051", "STATIC", {"socket_address": {"address": "10.0.0.7", "port_value": 50051}}),
        ("[::1]:50051", "STATIC", {"socket_address": {"address": "::1", "port_value": 50051}}),
        ("0.0.0.0:50051", "STATIC", {"socket_address": {"address": "127.0.0.1", "port_value": 50051}}),
        ("[::]:50051", "STATIC", {"socket_address": {"address": "::1", "port_value": 50051}}),
        ("localhost:50051", "STATIC", {"socket_address": {"address": "127.0.0.1", "port_value": 50051}}),
        (
            "gateway.example:50051",
            "STRICT_DNS",
            {"socket_address": {"address": "gateway.example", "port_value": 50051}},
        ),
    ],
)
def test_the_gateways_address(home, listen, kind, address):
    assert cluster(home, listen) == (kind, address)


def test_the_addresses_of_a_rendered_configuration_can_be_read_back(home):
    listen = ("unix:run/g.sock", "10.0.0.7:50051", "[::1]:50052")
    path = edge.render(config(edge={"port": 8123}, gateway={"listen": listen}), home=home)
    assert edge.addresses(path) == ("127.0.0.1", 8123, listen)


def test_addresses_that_envoy_is_told_in_other_words_are_still_the_same(home):
    different = config(gateway={"listen": ("localhost:1", "0.0.0.0:2", "[::]:3", "gateway.example:4", "unix:run/5")})
    assert edge.called(different) == edge.addresses(edge.render(different, home=home))[2]


def test_the_gateway_refuses_before_the_edge_does(home):
    (only,) = rendered(home, gateway={"max_running": 7})["static_resources"]["clusters"]
    assert only["circuit_breakers"]["thresholds"][0]["max_requests"] > 7


@pytest.mark.parametrize(("timeout", "idle", "longest"), [(10, 300, 3600), (600, 630, 3600), (7200.5, 7231, 7231)])
def test_the_gateways_timeout_passes_before_the_edges(home, timeout, idle, longest):
    (listener,) = rendered(home, gateway={"timeout_seconds": timeout})["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    everything = manager["route_config"]["virtual_hosts"][0]["routes"]
    routes = [route["route"] for route in everything if "route" in route]
    assert manager["stream_idle_timeout"] == f"{idle}s"
    assert [route["idle_timeout"] for route in routes if "timeout" in route] == [f"{idle}s"] * 3
    assert manager["common_http_protocol_options"]["max_stream_duration"] == f"{longest}s"


def test_the_descriptors_can_be_loaded_in_their_order_and_hold_what_the_edge_serves():
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(edge.descriptor_set()).file
    for file in files:
        pool.Add(file)  # refuses a file that comes before one it imports
    for name in ("OpenAIService", "InferenceService"):
        service = pool.FindServiceByName(f"hybridinference.gateway.v1.{name}")
        for method in service.methods:
            assert any(field.name == "http" for field, _ in method.GetOptions().ListFields()), method.full_name
    pool.FindMessageTypeByName("google.rpc.ErrorInfo")
    assert edge.descriptor_set() == edge.descriptor_set()


def test_rendering_twice_changes_nothing(home):
    first = edge.render(config(), home=home).read_bytes()
    files = sorted((home / "run/envoy").iterdir())
    assert edge.render(config(), home=home).read_bytes() == first
    assert sorted((home / "run/envoy").iterdir()) == files


def test_the_lua_filter_has_the_registers_words_for_what_bears_no_reason(home):
    row = re.compile(r'\["(\d+)"\] = \{ (\d+), "(\w+)", "(\w+)"(, true)? \}')
    edge.render(config(), home=home)
    (file,) = (home / "run/envoy").glob("edge-*.lua")
    lua = file.read_text()
    found = {
        int(code): register.Row(int(code), int(http), kind, word, bool(final))
        for code, http, kind, word, final in row.findall(lua)
    }
    assert found == register.BARE


def test_envoys_own_replies_have_every_status_of_the_register_and_the_rest_last(home):
    (listener,) = rendered(home)["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    found = []
    for mapper in manager["local_reply_config"]["mappers"]:
        if "status_code_filter" in mapper["filter"]:
            comparison = mapper["filter"]["status_code_filter"]["comparison"]
            found.append((comparison["op"], comparison["value"]["default_value"]))
            error = mapper["body_format_override"]["json_format"]["error"]
            assert list(error) == ["message", "type", "param", "code"]
    assert {status for _, status in found} == register.EDGE.keys()
    assert [each for each in found if each[0] == "GE"] == found[-2:] == [("GE", 500), ("GE", 400)]


def test_the_edge_takes_no_more_connections_than_it_may_have_files():
    assert edge.connections(10_000, files=4096) == 4096 - 128
    assert edge.connections(23, files=4096) == 23
    assert edge.connections(10_000, files=64) == 1
    assert edge.connections(10_000, files=resource.RLIM_INFINITY) == 10_000


def test_a_limit_is_where_envoy_looks_for_it(home):
    limits = {
        "request_bytes": 2001,
        "typed_request_bytes": 2002,
        "headers_kib": 21,
        "requests_per_second": 22,
        "connections": 23,
        "streams_per_connection": 24,
        "header_seconds": 25.5,
        "request_seconds": 26,
        "idle_seconds": 27,
    }
    whole = rendered(home, edge={"limits": limits})
    manager = whole["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    configured = {each["name"]: each["typed_config"] for each in manager["http_filters"]}
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    switched_on = [route.get("typed_per_filter_config", {}) for route in routes]
    transcoders = [filters["transcoder"] for filters in switched_on if "transcoder" in filters]
    (monitor,) = whole["overload_manager"]["resource_monitors"]
    bucket = configured["ratelimit"]["token_bucket"]
    assert [each["max_request_body_size"] for each in transcoders] == [2001, 2002]
    assert configured["body_limit"]["max_request_bytes"] == 2002
    assert manager["max_request_headers_kb"] == 21
    assert (bucket["max_tokens"], bucket["tokens_per_fill"], bucket["fill_interval"]) == (22, 22, "1s")
    assert monitor["typed_config"]["max_active_downstream_connections"] == 23
    assert manager["http2_protocol_options"]["max_concurrent_streams"] == 24
    assert manager["request_headers_timeout"] == "25.500s"
    assert manager["request_timeout"] == "26.000s"
    assert manager["common_http_protocol_options"]["idle_timeout"] == "27.000s"


def test_every_gateway_is_an_endpoint_and_the_edge_lets_through_what_all_of_them_take(home):
    (only,) = rendered(home, gateway={"instances": 3, "max_running": 7})["static_resources"]["clusters"]
    (group,) = only["load_assignment"]["endpoints"]
    paths = [each["endpoint"]["address"]["pipe"]["path"] for each in group["lb_endpoints"]]
    assert paths == ["run/gateway.sock", "run/gateway-2.sock", "run/gateway-3.sock"]
    assert only["circuit_breakers"]["thresholds"][0]["max_requests"] > 21


def test_with_keys_the_edge_may_be_called_by_any_name(home):
    def names(**sections):
        whole = rendered(home, **sections)
        manager = whole["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        first = manager["route_config"]["virtual_hosts"][0]["routes"][0]
        (header,) = first["match"]["headers"]
        assert (header["name"], header["invert_match"]) == (":authority", True)
        return re.compile(header["string_match"]["safe_regex"]["regex"])

    assert names().fullmatch("any.example")
    assert names(access={"keyless": True}, edge={"hosts": ["*"]}).fullmatch("any.example")
    assert not names(access={"keyless": True}, edge={"hosts": ["any.example"]}).fullmatch("anyxexample")


@pytest.mark.parametrize(
    ("origin", "matches", "others"),
    [
        (
            "http://localhost:*",
            ["http://localhost", "http://localhost:3000"],
            ["http://localhost.evil", "https://localhost"],
        ),
        ("https://app.example", ["https://app.example"], ["https://appxexample", "https://app.example:8443"]),
        (
            "https://app.example:*",
            ["https://app.example:8443"],
            ["https://appxexample:1", "https://app.example:1.evil"],
        ),
        ("*", ["https://any.where"], []),
    ],
)
def test_an_origin_admits_what_it_says_and_nothing_else(home, origin, matches, others):
    whole = rendered(home, edge={"cors_origins": [origin]})
    manager = whole["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    (matcher,) = host["typed_per_filter_config"]["cors"]["allow_origin_string_match"]

    def admitted(page):
        return page == matcher["exact"] if "exact" in matcher else re.fullmatch(matcher["safe_regex"]["regex"], page)

    assert all(admitted(page) for page in matches)
    assert not any(admitted(page) for page in others)
