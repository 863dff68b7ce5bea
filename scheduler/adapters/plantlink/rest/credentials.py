"""Who asks: a bearer token of a plant, the client certificate of one, or both."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from scheduler.adapters.logs import Episode, Teller
from scheduler.adapters.plantlink.file_stamp import FileStamp, file_stamp
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import Credential

MIN_TOKEN_CHARS = 32
# A second line holds for the time in which a plant changes from the old token to the new one.
MAX_TOKENS = 2
_TOKEN = re.compile(rf"[A-Za-z0-9\-._~+/]{{{MIN_TOKEN_CHARS},512}}={{0,2}}")
HOW = f"{MIN_TOKEN_CHARS} to 512 letters, digits and -._~+/ on a line, as from: openssl rand -hex 32"


class CredentialBook:
    """All plants that may ask. Token files are read anew when they change; of tokens only digests are kept."""

    def __init__(self, credentials: Sequence[Credential], *, certificates: bool, tell: Teller) -> None:
        """Read all files.

        Args:
            credentials: one per plant; without a `secret_file` its certificate alone shows who it is.
            certificates: whether whoever connects has shown a certificate; it must then be in the plant's name.
            tell: told once when a file cannot be read any more, and once when it can.

        Raises:
            Misconfigured: nobody may ask, two have one name or token, a file cannot be read, or a token is too short.
        """
        if not credentials:
            raise Misconfigured("nobody may ask", where="rest.credentials", expected="at least one plant with its token")
        self._certificates = certificates
        self._by_name = {one.name: one for one in credentials}
        if len(self._by_name) != len(credentials):
            raise Misconfigured("two credentials have one name", where="rest.credentials")
        for one in credentials:
            if not one.secret_file and not certificates:
                raise Misconfigured(
                    f"{one.name} has no token", where="rest.credentials", expected="secretFile, or tls.clientCa"
                )
        self._files = {one.name: Path(one.secret_file) for one in credentials if one.secret_file}
        self._stamps: dict[str, FileStamp | None] = {name: file_stamp(path) for name, path in self._files.items()}
        self._digests = {name: _digests(path) for name, path in self._files.items()}
        self._episodes = {name: Episode(tell, f"reading the token of {name}") for name in self._files}
        self._wrong: dict[str, str] = {}
        twice = _shared(self._digests)
        if twice:
            raise Misconfigured(f"{' and '.join(twice)} have one token", where="rest.credentials", expected="one for each")

    def renew(self) -> None:
        """Read the files that have changed. A plant whose token cannot be read is let in no more."""
        for name, path in self._files.items():
            stamp = file_stamp(path)
            if stamp == self._stamps[name] and name not in self._wrong:
                continue
            self._stamps[name] = stamp
            try:
                self._digests[name] = _digests(path)
                self._wrong.pop(name, None)
                self._episodes[name].worked()
            except Misconfigured as error:
                self._digests[name] = ()
                self._wrong[name] = str(error)
                self._episodes[name].failed(error)

    def trouble(self) -> str:
        """Whose token cannot be read; empty when all can."""
        twice = _shared(self._digests)
        shared = [f"{' and '.join(twice)} have one token: neither is let in"] if twice else []
        return "; ".join([*self._wrong.values(), *shared])

    def who(self, authorization: str | None, names: frozenset[str]) -> Credential | None:
        """Whose request it is, or None.

        Args:
            authorization: the header of the request; None: there is none.
            names: in the client's certificate.
        """
        name = self._by_certificate(names) if authorization is None else self._by_token(authorization)
        if name is None or (self._certificates and name not in names):
            return None
        return self._by_name[name]

    def _by_certificate(self, names: frozenset[str]) -> str | None:
        found = sorted(name for name in names if name in self._by_name and name not in self._files)
        return found[0] if len(found) == 1 else None

    def _by_token(self, authorization: str) -> str | None:
        """Every token is compared, and in constant time: how long it takes tells nothing."""
        kind, _, token = authorization.partition(" ")
        told = hashlib.sha256(token.strip().encode("utf-8", "replace")).digest()
        found = [name for name, digests in self._digests.items() for one in digests if hmac.compare_digest(one, told)]
        return found[0] if len(found) == 1 and kind.lower() == "bearer" else None


def _digests(path: Path) -> tuple[bytes, ...]:
    """Digests of the tokens in a file.

    Raises:
        Misconfigured: it cannot be read, or holds none, too many or short ones.
    """
    try:
        with path.open("rb") as file:
            lines = file.read(4096).decode("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no text"
        raise Misconfigured(f"cannot be read ({why})", where=str(path), expected="a file with the token") from None
    if not 1 <= len(lines) <= MAX_TOKENS or not all(_TOKEN.fullmatch(line) for line in lines):
        raise Misconfigured("is no token", where=str(path), expected=f"one or two of {HOW}")
    return tuple({hashlib.sha256(line.encode()).digest() for line in lines})


def _shared(digests: Mapping[str, tuple[bytes, ...]]) -> list[str]:
    """Names that have a token in common."""
    owners: dict[bytes, list[str]] = {}
    for name, each in digests.items():
        for digest in set(each):
            owners.setdefault(digest, []).append(name)
    return sorted({name for names in owners.values() if len(names) > 1 for name in names})
