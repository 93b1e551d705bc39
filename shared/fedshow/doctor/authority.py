"""How long certificates are good."""

from datetime import UTC, datetime, timedelta

from cryptography import x509

from fedshow.doctor.finding import Finding, fine, problem, warning

SOON = timedelta(days=14)
"""A server renews its own a month before."""


def expiry(about: str, certificate: bytes, advice: str) -> Finding:
    """Whether a certificate, PEM or DER, is good now and for the next days."""
    try:
        loaded = _load(certificate)
    except ValueError:
        return problem(about, "is no certificate", advice)
    first, last = loaded.not_valid_before_utc, loaded.not_valid_after_utc
    now, facts = datetime.now(UTC), {"until": last.isoformat()}
    if now > last:
        return problem(about, f"ended on {last:%Y-%m-%d}", advice, **facts)
    if now < first:
        says = f"is good from {first:%Y-%m-%d %H:%M} only: is this machine's clock right?"
        return problem(about, says, "date; sudo timedatectl set-ntp true", **facts)
    if last - now < SOON:
        return warning(about, f"ends on {last:%Y-%m-%d}", advice, **facts)
    return fine(about, f"good until {last:%Y-%m-%d}", **facts)


def _load(certificate: bytes) -> x509.Certificate:
    if certificate.startswith(b"-----"):
        return x509.load_pem_x509_certificate(certificate)
    return x509.load_der_x509_certificate(certificate)
