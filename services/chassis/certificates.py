"""Whether a certificate, its key and the authorities fit together and are those of a process. No files, no clock."""

import datetime
import itertools
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

from services.chassis import roles
from services.chassis.material import CertificateError, Material
from services.chassis.roles import Role

# What cryptography raises bit by bit, as parts of a certificate are looked at.
_UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


def examine(ca: bytes, chain: bytes, key: bytes, role: Role, process: str, *, now: float) -> Material:
    """The material of a process, made of the content of its three files.

    Args:
        ca: certificates of those who sign, PEM.
        chain: the certificate, then those in between, PEM.
        key: the private key, PEM, without a passphrase.
        role: what the process is.
        process: its name.
        now: seconds since 1970.

    Raises:
        CertificateError: something is wrong.
    """
    try:
        return _examined(ca, chain, key, role, process, now=now)
    except _UNREADABLE as error:
        raise CertificateError(["a certificate says what no certificate can say: have it issued again"]) from error


def _examined(ca: bytes, chain: bytes, key: bytes, role: Role, process: str, *, now: float) -> Material:
    authorities, links = _certificates(ca, "`mtls.ca`"), _certificates(chain, "`mtls.certificate`")
    own = links[0]
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    problems = []
    if _public(_private(key)) != _public(own):
        problems.append("the key is not that of the certificate: put both from one renewal in their places")
    problems += _misdated(own, moment)
    problems += _misnamed(own, role, process)
    signer = _signer(links, authorities, moment)
    if signer is None:
        problems.append("nobody in `mtls.ca` has signed the certificate, or who has is out of date")
    if problems or signer is None:
        raise CertificateError(problems)
    return Material(ca, chain, key, own.not_valid_after_utc.timestamp(), signer.not_valid_after_utc.timestamp())


def _certificates(pem: bytes, what: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateError([f"{what} holds no certificates in PEM"]) from error


def _private(pem: bytes) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(pem, None)
    except (TypeError, ValueError) as error:  # not `from error`'s words, which may have been made of the content
        raise CertificateError(["`mtls.key` holds no private key in PEM without a passphrase"]) from error


def _public(holder: PrivateKeyTypes | x509.Certificate) -> bytes:
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return holder.public_key().public_bytes(*form)


def _misdated(own: x509.Certificate, now: datetime.datetime) -> list[str]:
    if now >= own.not_valid_after_utc:
        return [f"the certificate has expired on {own.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC: renew it"]
    if now < own.not_valid_before_utc:
        return [
            f"the certificate is not valid before {own.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC: look at the clock"
        ]
    return []


def _misnamed(own: x509.Certificate, role: Role, process: str) -> list[str]:
    try:
        names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris, hosts = names.get_values_for_type(x509.UniformResourceIdentifier), names.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        uris, hosts = [], []
    problems = []
    # Of several, peers could not tell which one counts.
    if uris != [roles.identity(role, process)]:
        has = ", ".join(uris) or "none"
        problems.append(f"the certificate must have the URI {roles.identity(role, process)} and no other; it has {has}")
    if roles.server_name(role) not in hosts:
        problems.append(f"the certificate lacks the DNS name {roles.server_name(role)}, for which those who call ask")
    try:
        uses = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return problems
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} <= set(uses):
        problems.append("the certificate must be for servers and for clients (extended key usage)")
    return problems


def _signer(
    links: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate], now: datetime.datetime
) -> x509.Certificate | None:
    """Who has signed the chain's last link, where each of them is signed by the next."""
    for link, above in itertools.pairwise(links):
        if not _signed(link, above):
            return None
    signers = [each for each in authorities if each.not_valid_after_utc > now and _signed(links[-1], each)]
    return max(signers, key=lambda each: each.not_valid_after_utc, default=None)


def _signed(link: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        link.verify_directly_issued_by(above)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False
    return True
