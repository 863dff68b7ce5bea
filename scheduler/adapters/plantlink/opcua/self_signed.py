"""Certificates that nobody has signed but their owner, for a desk or a demonstration; a plant's SCADA usually makes its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

KEY_BITS = 2048
VALID_DAYS = 365


@dataclass(frozen=True, slots=True)
class Pair:
    """Where a certificate (DER) and its key (PEM) lie."""

    certificate: Path
    key: Path


def self_signed(folder: Path, name: str, now_utc: datetime) -> Pair:
    """Make a key and a certificate of it for an OPC UA application (OPC 10000-6, 6.2.2).

    Args:
        folder: where they are written, as `<name>.der` and `<name>.key`, which only we may read.
        name: of the application; its URI is urn:heat-dispatch:<name>.
        now_utc: it holds from a day before for a year.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    uri = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:heat-dispatch:{name}")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now_utc - timedelta(days=1))
        .not_valid_after(now_utc + timedelta(days=VALID_DAYS))
        .add_extension(uri, critical=False)
        .sign(key, SHA256())
    )
    pair = Pair(folder / f"{name}.der", folder / f"{name}.key")
    pair.key.touch(mode=0o600)
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pair.certificate.write_bytes(made.public_bytes(Encoding.DER))
    return pair
