"""The server's own certificate authority and its certificate: clients trust exactly this one."""

import ipaddress
import os
import socket
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedshow_server.layout import Certificates

CA_DAYS = 3650
SERVER_DAYS = 397
RENEW_DAYS = 30
CLOCK_SKEW = timedelta(hours=1)

Key = ec.EllipticCurvePrivateKey


def fingerprint(ca_pem: bytes) -> str:
    """sha256 of the DER form of a PEM certificate."""
    loaded = x509.load_pem_x509_certificate(ca_pem)
    return sha256(loaded.public_bytes(serialization.Encoding.DER)).hexdigest()


def prepare_certificates(wanted: Certificates, public_name: str) -> None:
    """Makes the server's certificates when missing, due or for other names; the authority stays."""
    if not (wanted.ca.is_file() and wanted.ca_key.is_file()):
        _make_authority(wanted.ca, wanted.ca_key)
    authority = x509.load_pem_x509_certificate(wanted.ca_pem)
    names = _names(public_name)
    if not _serves(wanted, authority, names):
        _make_server(wanted, authority, _read_key(wanted.ca_key), names)


def _names(public_name: str) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys((public_name, "localhost", "127.0.0.1", socket.gethostname())):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _serves(
    found: Certificates, authority: x509.Certificate, names: list[x509.GeneralName]
) -> bool:
    if not (found.certificate.is_file() and found.key.is_file()):
        return False
    now = x509.load_pem_x509_certificate(found.certificate.read_bytes())
    if now.not_valid_after_utc - datetime.now(UTC) < timedelta(days=RENEW_DAYS):
        return False
    covered = now.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if now.public_key() != _read_key(found.key).public_key():  # a crash came between the two files
        return False
    return now.issuer == authority.subject and set(covered) == set(names)


def _make_authority(path: Path, key_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    # the name differs each time: trust stores look authorities up by name
    serial = x509.random_serial_number()
    subject = _named(f"fedshow authority {serial:x}"[:40])
    certificate = (
        _template(subject, subject, key, serial, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write_private(key_path, _key_pem(key))
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _make_server(
    found: Certificates, authority: x509.Certificate, ca_key: Key, names: list[x509.GeneralName]
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    certificate = (
        _template(
            _named("fedshow server"),
            authority.subject,
            key,
            x509.random_serial_number(),
            SERVER_DAYS,
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write_private(found.key, _key_pem(key))
    found.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _template(
    subject: x509.Name, issuer: x509.Name, key: Key, serial: int, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(identifier, critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _read_key(path: Path) -> Key:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
