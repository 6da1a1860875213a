"""A private authority for trials: makes itself, and signs certificates for the processes of a mesh."""

import dataclasses
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.chassis import roles
from services.chassis.roles import Role

# Clocks of several hosts differ.
_EARLIER = datetime.timedelta(minutes=5)


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, PEM."""

    certificate: bytes
    key: bytes = dataclasses.field(repr=False)


def make(*, now: datetime.datetime, lasting: datetime.timedelta) -> Pair:
    """An authority, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # Told apart by its number: while one takes over from another both are believed.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"HybridInference trial authority {serial:x}"[:64])])
    usage = _usage(signs=True)
    builder = (
        _begun(name, name, key.public_key(), serial, now, now + lasting)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    return Pair(_pem(builder.sign(key, hashes.SHA256())), _key_pem(key))


def issue(authority: Pair, role: Role, process: str, *, now: datetime.datetime, lasting: datetime.timedelta) -> Pair:
    """A certificate for a process, of a new key. It ends no later than the authority.

    Raises:
        ValueError: the authority's files are not those of one, or its certificate has expired.
    """
    signer = x509.load_pem_x509_certificate(authority.certificate)
    signing = serialization.load_pem_private_key(authority.key, None)
    if not isinstance(signing, ec.EllipticCurvePrivateKey) or signing.public_key() != signer.public_key():
        raise ValueError("the key is not that of the authority's certificate")
    if now >= signer.not_valid_after_utc:
        raise ValueError(f"the authority has expired on {signer.not_valid_after_utc:%Y-%m-%d}")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, process[:64])])
    names = [
        x509.UniformResourceIdentifier(roles.identity(role, process)),
        x509.DNSName(roles.server_name(role)),
    ]
    until = min(now + lasting, signer.not_valid_after_utc)
    builder = (
        _begun(subject, signer.subject, key.public_key(), x509.random_serial_number(), now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )
    return Pair(_pem(builder.sign(signing, hashes.SHA256())), _key_pem(key))


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    serial: int,
    now: datetime.datetime,
    until: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(now - _EARLIER)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form)
