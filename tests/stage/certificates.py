"""Certificates for 127.0.0.1, good, ended or not begun, each with an authority of its own."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Certificates:
    """A certificate authority and a server certificate, as PEM."""

    ca: bytes
    server: bytes
    key: bytes


def make_certificates(
    begins: timedelta = -timedelta(hours=1),
    ends: timedelta = YEAR,
    ca_ends: timedelta = YEAR,
    host: str = "127.0.0.1",
) -> Certificates:
    """New ones; times count from now."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test server")])
    hosts = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
    authority = x509.BasicConstraints(ca=True, path_length=0)
    ca = _template(ca_name, ca_name, ca_key, -YEAR, ca_ends)
    ca = ca.add_extension(authority, critical=True)
    server = _template(name, ca_name, key, begins, ends).add_extension(hosts, critical=False)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signed = [
        each.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM) for each in (ca, server)
    ]
    return Certificates(ca=signed[0], server=signed[1], key=private)


def _template(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    begins: timedelta,
    ends: timedelta,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + min(begins, ends - timedelta(days=1)))
        .not_valid_after(now + ends)
    )
