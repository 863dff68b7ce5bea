"""Certificates: ours, and those of plants that are trusted one by one; files that change are read anew.

A client is trusted when exactly its certificate lies in the folder: whoever opens a secure channel proves that he has its key.
No authority is trusted, since an authority that signs one device of a plant signs others too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key, load_pem_private_key

from scheduler.domain.errors import Misconfigured

MIN_KEY_BITS = 2048
APPLICATION_URI = "urn:heat-dispatch:plant-link"
SUFFIXES = (".der", ".pem", ".crt", ".cer")
MOST_FILES = 1000
MAX_FILE_BYTES = 64 * 1024


class NotTrusted(Exception):
    """A certificate is not accepted; says why, without anything that the peer wrote."""


@dataclass(frozen=True, slots=True)
class Client:
    """One trusted plant."""

    name: str
    offtakes: frozenset[str]
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are: certificate, key, and the application URI that stands in the certificate."""

    certificate: x509.Certificate
    key: RSAPrivateKey
    uri: str


def first_of(chain: bytes) -> bytes:
    """The leading certificate of a chain in DER: a sequence says its length in two bytes here."""
    return chain[: 4 + int.from_bytes(chain[2:4], "big")] if chain[:2] == b"\x30\x82" else chain


def loaded(data: bytes) -> x509.Certificate:
    """A certificate in PEM or DER.

    Raises:
        ValueError: it is none, or its key is no RSA key of at least 2048 bits.
    """
    found = x509.load_pem_x509_certificate(data) if b"-----BEGIN" in data else x509.load_der_x509_certificate(data)
    key = found.public_key()
    if not isinstance(key, RSAPublicKey) or key.key_size < MIN_KEY_BITS:
        raise ValueError(f"no RSA key of at least {MIN_KEY_BITS} bits")
    return found


def valid_at(certificate: x509.Certificate, now_utc: datetime) -> str:
    """Why a certificate does not hold now; empty when it does."""
    if now_utc < certificate.not_valid_before_utc:
        return "is not valid yet"
    return "has expired" if now_utc > certificate.not_valid_after_utc else ""


def _stamp(path: Path) -> tuple[str, int, int]:
    """What changes when a file does."""
    found = path.stat()
    return str(path), found.st_mtime_ns, found.st_size


class TrustedClients:
    """The folder of client certificates; a file that was added or taken away counts from the next message on."""

    def __init__(self, folder: str, offtakes_of: Mapping[str, tuple[str, ...]]) -> None:
        """Nothing is read yet.

        Args:
            folder: of certificates in DER or PEM, named after the clients; empty: nobody is trusted.
            offtakes_of: what each client may see and speak of, by the name of its file.
        """
        self._folder, self._offtakes_of = folder, offtakes_of
        self._stamps: tuple[tuple[str, int, int], ...] | None = None
        self._clients: dict[bytes, Client] = {}
        self.trouble = ""

    def client(self, chain: bytes | None, now_utc: datetime) -> Client:
        """Who shows this certificate.

        Raises:
            NotTrusted: it is not in the folder, or does not hold now.
        """
        self.refresh()
        if not chain:
            raise NotTrusted("no certificate")
        der = first_of(chain)
        found = self._clients.get(der)
        if found is None:
            raise NotTrusted(f"certificate {_fingerprint(der)} is not trusted")
        why = valid_at(found.certificate, now_utc)
        if why:
            raise NotTrusted(f"the certificate of {found.name} {why}")
        return found

    def refresh(self) -> None:
        """Read the folder, if anything in it has changed."""
        try:
            paths = (
                sorted(path for path in Path(self._folder).iterdir() if path.suffix.lower() in SUFFIXES) if self._folder else []
            )
            stamps = tuple(_stamp(path) for path in paths[:MOST_FILES])
        except OSError as error:
            self._stamps, self._clients, self.trouble = None, {}, f"trusted: cannot be read ({error.strerror})"
            return
        if stamps != self._stamps:
            self._read(paths[:MOST_FILES])
            self._stamps = stamps

    def _read(self, paths: list[Path]) -> None:
        clients: dict[bytes, Client] = {}
        wrong = []
        for path in paths:
            if path.stem not in self._offtakes_of:
                wrong.append(f"{path.name} belongs to nobody")
                continue
            try:
                certificate = loaded(path.read_bytes()[:MAX_FILE_BYTES])
            except (OSError, ValueError) as error:
                wrong.append(f"{path.name} cannot be used ({_line(error)})")
                continue
            der = certificate.public_bytes(Encoding.DER)
            if der in clients:
                wrong.append(f"{path.name} is the same as that of {clients[der].name}")
                continue
            clients[der] = Client(path.stem, frozenset(self._offtakes_of[path.stem]), certificate)
        missing = sorted(set(self._offtakes_of) - {client.name for client in clients.values()})
        wrong += [f"{name} has no certificate" for name in missing]
        self._clients, self.trouble = clients, f"trusted: {'; '.join(wrong[:5])}" if wrong else ""


class OurIdentity:
    """Our certificate and key; renewed files count for the next connection, half-written ones do not."""

    def __init__(self, certificate: str, key: str) -> None:
        """Read both.

        Raises:
            Misconfigured: a file cannot be used, or the two do not belong together.
        """
        self._paths = (Path(certificate), Path(key))
        self.trouble = ""
        try:
            self._stamps, self._identity = self._read()
        except (OSError, ValueError, TypeError) as error:
            raise Misconfigured(
                _line(error), where="opcua.certificate, opcua.key", expected="an RSA certificate and its key, PEM or DER"
            ) from None

    def current(self) -> Identity:
        """Who we are now."""
        try:
            if tuple(_stamp(path) for path in self._paths) != self._stamps:
                self._stamps, self._identity = self._read()
            self.trouble = ""
        except (OSError, ValueError, TypeError) as error:
            self.trouble = f"certificate: the new files cannot be used, the old ones still are ({_line(error)})"
        return self._identity

    def _read(self) -> tuple[tuple[tuple[str, int, int], ...], Identity]:
        stamps = tuple(_stamp(path) for path in self._paths)
        certificate = loaded(self._paths[0].read_bytes())
        data = self._paths[1].read_bytes()
        key = load_pem_private_key(data, None) if b"-----BEGIN" in data else load_der_private_key(data, None)
        if not isinstance(key, RSAPrivateKey) or _public(key.public_key()) != _public(certificate.public_key()):
            raise ValueError("the key does not belong to the certificate")
        return stamps, Identity(certificate, key, application_uri(certificate))


def application_uri(certificate: x509.Certificate) -> str:
    """The application URI of a certificate (OPC 10000-6, 6.2.2); a name of ours where it has none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return APPLICATION_URI
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uris[0] if uris else APPLICATION_URI


def _public(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) if isinstance(key, RSAPublicKey) else b""


def _fingerprint(der: bytes) -> str:
    """As people compare it: the first bytes of its SHA-256."""
    try:
        return x509.load_der_x509_certificate(der).fingerprint(SHA256()).hex()[:16]
    except ValueError:
        return "(unreadable)"


def _line(error: Exception) -> str:
    """The first line of an error, without the file's content."""
    return (error.strerror or "") if isinstance(error, OSError) else str(error).split("\n", 1)[0][:120]
