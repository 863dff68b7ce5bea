"""Certificates of a server that are renewed under it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scheduler.adapters.logs import Episode, Teller
from scheduler.adapters.plantlink.file_stamp import file_stamp
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import TlsFiles


class RenewedTls:
    """A context of the files as they are now: each connection begins with the newest that could be read."""

    def __init__(self, files: TlsFiles, tell: Teller) -> None:
        """Read them.

        Raises:
            Misconfigured: when that cannot be done.
        """
        self._files, self._episode, self._wrong = files, Episode(tell, f"reading {files.certificate}"), ""
        self._stamps = self._seen()
        self.context = server_context(files)

    def renew(self) -> None:
        """Read them anew if they have changed; what cannot be read leaves the old ones in force."""
        seen = self._seen()
        if seen == self._stamps and not self._wrong:
            return
        self._stamps = seen
        try:
            self.context = server_context(self._files)
        except Misconfigured as error:
            self._wrong = str(error)
            self._episode.failed(error)
        else:
            self._wrong = ""
            self._episode.worked()

    def trouble(self) -> str:
        """Why the old files are still in force; empty when they are not."""
        return self._wrong

    def _seen(self) -> tuple[object, ...]:
        paths = (self._files.certificate, self._files.key, self._files.client_ca)
        return tuple(file_stamp(Path(path)) for path in paths if path)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 or newer; with `client_ca` nobody connects without a certificate of it.

    Raises:
        Misconfigured: a file cannot be read, or certificate and key are no pair.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        # Without a password of ours OpenSSL would ask the terminal for that of an encrypted key.
        context.load_cert_chain(files.certificate, files.key, password="")
    except (OSError, ValueError) as error:
        raise _unreadable(files.certificate, error, "a certificate and its key, PEM, without a password") from None
    if files.client_ca:
        try:
            context.load_verify_locations(files.client_ca)
        except (OSError, ValueError) as error:
            raise _unreadable(files.client_ca, error, "certificates of an authority, PEM") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def names_of(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Whom a verified certificate names: its common name, DNS names and URIs."""
    if not certificate:
        return frozenset()
    common = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    others = [value for key, value in certificate.get("subjectAltName", ()) if key in {"DNS", "URI"}]
    return frozenset((*common, *others))


def _unreadable(path: str, error: Exception, expected: str) -> Misconfigured:
    why = (error.strerror or getattr(error, "reason", "")) if isinstance(error, OSError) else str(error)
    return Misconfigured(f"cannot be read ({why})", where=path, expected=expected)
