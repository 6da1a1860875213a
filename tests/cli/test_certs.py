"""`hybrid certs`: an authority for trials, and what it signs."""

import datetime
import pathlib

import pytest
from cryptography import x509

from services.chassis import roles
from services.chassis.certificates import examine
from services.cli import certs
from services.cli.home import Home
from services.cli.problem import Problem
from services.config.mesh import MeshConfig

NOW = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
MTLS = {"ca": "tls/ca.pem", "certificate": "tls/{process}.pem", "key": "tls/{process}.key"}


def config(mtls=MTLS):
    return MeshConfig.model_validate(
        {
            "providers": {"echo": {"kind": "echo", "workers": 2}},
            "models": [{"name": "echo", "routes": [{"provider": "echo"}]}],
            "gateway": {"instances": 2},
            "mtls": mtls,
        }
    )


@pytest.fixture
def home(tmp_path):
    certs.init(tmp_path / "authority", days=365, now=NOW)
    return Home(tmp_path)


def issue(home, *processes, days=30.0, now=NOW, left=None, mtls=MTLS):
    directory = home.path / "authority"
    issued = certs.issue(config(mtls), home, directory, processes=processes, days=days, now=now, left=left)
    return [each.process for each in issued]


def content(home, process):
    return tuple((home.path / path).read_bytes() for path in ("tls/ca.pem", f"tls/{process}.pem", f"tls/{process}.key"))


def test_every_process_gets_what_it_can_prove_itself_with(home):
    names = ["envoy", "cli", "admin", "gateway", "gateway-2", "router", "echo-0", "echo-1"]
    assert issue(home) == names
    for name, role in certs.roles_of(config()).items():
        material = examine(*content(home, name), role, name, now=NOW.timestamp())
        assert material.expires == (NOW + 30 * DAY).timestamp()
        assert material.ca_expires == (NOW + 365 * DAY).timestamp()


def test_keys_and_their_directories_are_for_their_user_alone(home):
    issue(home)
    keys = [*(home.path / "tls").glob("*.key"), home.path / "authority/ca.key"]
    assert len(keys) == 9
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
    assert {(home.path / name).stat().st_mode & 0o777 for name in ("tls", "authority")} == {0o700}
    assert not [path for path in home.path.rglob(".*") if path.is_file()], "no drafts are left"


def test_an_authority_that_is_there_is_never_replaced(home):
    before = (home.path / "authority/ca.key").read_bytes()
    with pytest.raises(Problem, match="is there already"):
        certs.init(home.path / "authority", days=1, now=NOW)
    assert (home.path / "authority/ca.key").read_bytes() == before


def test_one_process_is_given_a_new_certificate_and_the_others_keep_theirs(home):
    issue(home)
    before = {name: content(home, name) for name in ("router", "gateway")}
    assert issue(home, "router") == ["router"]
    assert content(home, "gateway") == before["gateway"]
    assert content(home, "router") != before["router"]


def test_a_renewal_replaces_what_has_little_time_left_or_cannot_be_used(home):
    issue(home)
    assert issue(home, now=NOW + 19 * DAY, left=1 / 3) == []
    (home.path / "tls/router.key").write_bytes(b"")
    (home.path / "tls/cli.pem").unlink()
    assert issue(home, now=NOW + 19 * DAY, left=1 / 3) == ["cli", "router"]
    renewed = issue(home, now=NOW + 21 * DAY, left=1 / 3)
    assert "gateway" in renewed
    assert "router" not in renewed


def test_another_authority_joins_the_one_before_so_that_both_are_believed(home):
    issue(home)
    certs.init(home.path / "next", days=365, now=NOW)
    certs.issue(config(), home, home.path / "next", processes=["router"], days=30, now=NOW)
    believed = x509.load_pem_x509_certificates((home.path / "tls/ca.pem").read_bytes())
    assert len(believed) == 2
    for name, role in (("router", "router"), ("gateway", "gateway")):
        assert examine(*content(home, name), role, name, now=NOW.timestamp())


def test_a_certificate_ends_no_later_than_who_has_signed_it(home):
    issue(home, "router", days=1000)
    own = x509.load_pem_x509_certificate(content(home, "router")[1])
    assert own.not_valid_after_utc == NOW + 365 * DAY
    with pytest.raises(Problem, match="the authority has expired on 2027-11-26"):
        issue(home, "router", now=NOW + 366 * DAY)


def test_what_is_missing_is_named_with_what_to_do(tmp_path, home):
    with pytest.raises(Problem, match=r"no process boss; there are: envoy, cli, admin"):
        issue(home, "boss")
    with pytest.raises(Problem, match=r"the configuration has no `mtls`; add, for example"):
        issue(home, mtls=None)
    with pytest.raises(Problem, match=r"`hybrid certs init` makes an authority"):
        certs.issue(config(), home, tmp_path / "nowhere", processes=[], days=1, now=NOW)


def test_the_advice_for_a_configuration_without_certificates_is_one_that_works(home):
    with pytest.raises(Problem) as told:
        issue(home, mtls=None)
    shown = str(told.value).partition("`mtls: ")[2].removesuffix("`")
    assert shown == "{ca: tls/ca.pem, certificate: 'tls/{process}.pem', key: 'tls/{process}.key'}"


def test_certificates_of_every_role_name_it_where_callers_look(home):
    issue(home)
    for name, role in certs.roles_of(config()).items():
        own = x509.load_pem_x509_certificate((home.path / f"tls/{name}.pem").read_bytes())
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [roles.server_name(role)]
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [roles.identity(role, name)]


def test_relative_paths_are_meant_from_the_home(home, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    issue(home, "router")
    assert (pathlib.Path(tmp_path) / "tls/router.pem").exists()


def test_an_authority_joins_a_file_whose_last_line_has_no_end(home):
    issue(home)
    believed = home.path / "tls/ca.pem"
    believed.write_bytes(believed.read_bytes().rstrip())
    certs.init(home.path / "next", days=365, now=NOW)
    certs.issue(config(), home, home.path / "next", processes=["router"], days=30, now=NOW)
    assert len(x509.load_pem_x509_certificates(believed.read_bytes())) == 2
    assert examine(*content(home, "gateway"), "gateway", "gateway", now=NOW.timestamp())


def test_a_file_of_authorities_that_is_none_is_named(home):
    (home.path / "tls").mkdir()
    (home.path / "tls/ca.pem").write_text("-----BEGIN CERTIFICATE-----\nno\n")
    with pytest.raises(Problem, match=r"tls/ca\.pem"):
        issue(home, "router")
