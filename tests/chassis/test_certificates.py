"""What can be wrong with the files of a process, each told with what to do."""

import base64
import datetime
import random

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.chassis import roles
from services.chassis.certificates import examine
from services.chassis.credentials import Credentials, Files
from services.chassis.material import CertificateError
from tests.chassis.trust import DAY, Authority, now

AUTHORITY, OTHER = Authority(), Authority()


def looked_at(ca, pair, *, key=None, role="worker", process="w-0", at=None):
    moment = (at or now()).timestamp()
    return examine(ca, pair.certificate, key or pair.key, role, process, now=moment)


def test_what_fits_together_is_taken_with_its_ends():
    material = looked_at(AUTHORITY.pem, AUTHORITY.sign("worker", "w-0"))
    assert abs(material.expires - (now() + DAY).timestamp()) < 60
    assert material.key.decode() not in repr(material)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key": AUTHORITY.sign("worker", "w-0").key}, "the key is not that of the certificate"),
        ({"at": now() + 2 * DAY}, "has expired on"),
        ({"at": now() - DAY}, "is not valid before"),
        ({"role": "gateway"}, "must have the URI spiffe://hybridinference/gateway/w-0"),
        ({"process": "w-1"}, "must have the URI spiffe://hybridinference/worker/w-1"),
        ({"key": b"nonsense"}, "`mtls.key` holds no private key"),
    ],
)
def test_each_mistake_is_named(change, said):
    with pytest.raises(CertificateError, match=said):
        looked_at(AUTHORITY.pem, AUTHORITY.sign("worker", "w-0"), **change)


@pytest.mark.parametrize(("ca", "said"), [(OTHER.pem, "nobody in `mtls.ca` has signed"), (b"", "no certificates")])
def test_authorities_that_did_not_sign_it_are_a_mistake(ca, said):
    with pytest.raises(CertificateError, match=said):
        looked_at(ca, AUTHORITY.sign("worker", "w-0"))


def test_an_authority_that_has_expired_signs_nothing():
    with pytest.raises(CertificateError, match="out of date"):
        looked_at(AUTHORITY.pem, AUTHORITY.sign("worker", "w-0", lasting=400 * DAY), at=now() + 100 * DAY)


def test_while_one_authority_takes_over_both_are_believed():
    both = AUTHORITY.pem + OTHER.pem
    for each in (AUTHORITY, OTHER):
        assert looked_at(both, each.sign("worker", "w-0")).ca == both


def signed(uses=None, *, above=None, uri="spiffe://hybridinference/worker/w-0"):
    """A certificate of a key of its own under a link in between, and the key."""
    root = ec.generate_private_key(ec.SECP256R1())
    between = ec.generate_private_key(ec.SECP256R1())
    own = ec.generate_private_key(ec.SECP256R1())

    def named(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def made(subject, issuer, key, *extensions):
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now() - datetime.timedelta(hours=1))
            .not_valid_after(now() + DAY)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder

    names = x509.SubjectAlternativeName(
        [x509.UniformResourceIdentifier(uri), x509.DNSName(roles.server_name("worker"))]
    )
    more = [x509.ExtendedKeyUsage(uses)] if uses else []
    chain = [
        made("own", "between", own, names, *more).sign(above or between, hashes.SHA256()),
        made("between", "root", between, x509.BasicConstraints(True, None)).sign(root, hashes.SHA256()),
    ]
    ca = made("root", "root", root, x509.BasicConstraints(True, None)).sign(root, hashes.SHA256())
    pem = serialization.Encoding.PEM
    key = own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return ca.public_bytes(pem), b"".join(each.public_bytes(pem) for each in chain), key


def test_a_chain_with_a_link_in_between_is_followed():
    ca, chain, key = signed()
    assert examine(ca, chain, key, "worker", "w-0", now=now().timestamp()).chain == chain


def test_a_chain_that_is_broken_is_a_mistake():
    ca, chain, key = signed(above=ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(CertificateError, match=r"nobody in `mtls\.ca` has signed"):
        examine(ca, chain, key, "worker", "w-0", now=now().timestamp())


def test_one_for_servers_alone_is_a_mistake():
    ca, chain, key = signed(uses=[ExtendedKeyUsageOID.SERVER_AUTH])
    with pytest.raises(CertificateError, match="for servers and for clients"):
        examine(ca, chain, key, "worker", "w-0", now=now().timestamp())


def test_files_that_are_missing_are_named(tmp_path):
    files = Files(tmp_path / "ca.pem", tmp_path / "w.pem", tmp_path / "w.key")
    with pytest.raises(CertificateError, match=r"ca\.pem cannot be read: No such file"):
        Credentials(files, "worker", "w-0")


def test_a_key_that_everybody_can_read_is_refused_and_one_of_a_group_is_not(tmp_path):
    files = AUTHORITY.write(tmp_path, "worker", "w-0")
    files.key.chmod(0o640)
    Credentials(files, "worker", "w-0")
    files.key.chmod(0o644)
    with pytest.raises(CertificateError, match=r"w-0\.key can be read by everybody on this host: `chmod 640` it"):
        Credentials(files, "worker", "w-0")


def test_a_renewal_that_is_ahead_of_the_clock_is_taken_once_its_time_has_come_and_refused_once(tmp_path):
    clock = [now().timestamp()]
    files = AUTHORITY.write(tmp_path, "worker", "w-0")
    credentials = Credentials(files, "worker", "w-0", clock=lambda: clock[0])
    before = credentials.current()
    AUTHORITY.write(tmp_path, "worker", "w-0", since=now() + DAY / 24)
    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            assert credentials.current() is before
            clock[0] += 60.0
        assert [line["event"] for line in lines] == ["certificate.refused"]
        clock[0] += 3600.0
        assert credentials.current().expires > before.expires
    assert [line["event"] for line in lines] == ["certificate.refused", "certificate.renewed"]


@pytest.mark.parametrize("role", roles.ROLES)
def test_an_identity_is_read_as_it_was_written(role):
    assert roles.parse(roles.identity(role, "x-1")) == (role, "x-1")
    assert roles.identity(role, "x").startswith(roles.prefix(role))


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://hybridinference/boss/x",
        "spiffe://hybridinference.example/worker/x",
        "spiffe://hybridinference/worker/",
        "spiffe://hybridinference/worker/x/y",
        "spiffe://hybridinference/worker/x\n",
        "https://hybridinference/worker/x",
    ],
)
def test_what_is_no_identity_of_the_mesh_is_none(uri):
    assert roles.parse(uri) is None


def test_whatever_bytes_a_file_holds_they_are_taken_or_refused_in_words():
    """One byte of a certificate, a key or an authority is another: 900 times, by a seed."""
    rng = random.Random(7)
    pair = AUTHORITY.sign("worker", "w-0")
    good = [AUTHORITY.pem, pair.certificate, pair.key]
    refused = 0
    for turn in range(900):
        files = list(good)
        label = files[turn % 3].splitlines()[0].decode().strip("-").removeprefix("BEGIN ")
        der = bytearray(base64.b64decode(b"".join(files[turn % 3].splitlines()[1:-1])))
        der[rng.randrange(len(der))] = rng.randrange(256)
        body = base64.encodebytes(bytes(der)).decode()
        files[turn % 3] = f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()
        try:
            examine(*files, "worker", "w-0", now=now().timestamp())
        except CertificateError:
            refused += 1
    assert refused > 600
