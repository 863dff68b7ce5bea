"""The plant's side of REST: a client that asks for what has changed, and posts what the plant says."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import httpx

from scheduler.adapters.plantside.options import PlantsideOptions
from scheduler.adapters.sources.web.trouble import one_line
from scheduler.core.publishing.document import document
from scheduler.core.publishing.heartbeat_payload import heartbeat_from
from scheduler.core.publishing.letters import NotALetter
from scheduler.domain.errors import Misconfigured
from scheduler.domain.plantlink import Heartbeat, Receipt

MAX_ANSWER_BYTES = 512 * 1024
NO_CONTENT, NOT_MODIFIED, UNAUTHORISED = 204, 304, 401
ADDRESS = "https://host:port, or http://127.0.0.1:port on one machine"


def tls_context(options: PlantsideOptions) -> ssl.SSLContext:
    """Whom we believe, and who we are.

    Raises:
        Misconfigured: a file that cannot be read as what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=options.ca or None)
        if options.certificate:
            context.load_cert_chain(options.certificate, options.key or None)
    except (OSError, ssl.SSLError) as error:
        where = options.certificate or options.ca
        raise Misconfigured(f"{error}", where=where, expected="PEM files of authority, certificate and key") from None
    return context


def token_of(path: str) -> str:
    """The token that a file holds.

    Raises:
        Misconfigured: it cannot be read, or cannot stand in a header.
    """
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"cannot be read: {type(error).__name__}", where=path, expected="a file with the token") from None
    if not token.isascii() or not token.isprintable() or not token:
        raise Misconfigured("is no token", where=path, expected="one line of printable ASCII")
    return token


class RestPlantClient:
    """A `ports.PlantClient` over REST; for one event loop. A token file is read again when the token was turned away."""

    def __init__(self, options: PlantsideOptions) -> None:
        """Connect to nothing yet.

        Raises:
            Misconfigured: the address, the token or a certificate.
        """
        if not options.address.startswith(("https://", "http://")):
            raise Misconfigured(f"{options.address!r} is no address", where="address", expected=ADDRESS)
        self._options = options
        self._token = token_of(options.secret_file) if options.secret_file else ""
        try:
            self._http = httpx.AsyncClient(
                base_url=f"{options.address.rstrip('/')}/v1/offtakes/{quote(options.offtake_id, safe='')}/",
                verify=tls_context(options) if options.address.startswith("https://") else False,
                timeout=options.timeout_s,
                trust_env=False,
                follow_redirects=False,
            )
        except httpx.InvalidURL as error:
            raise Misconfigured(f"{options.address!r}: {error}", where="address", expected=ADDRESS) from None
        self._trouble = "nothing was asked yet"
        self._etag = ""
        self._schedule: Mapping[str, object] | None = None

    async def run(self) -> None:
        """As the port says: only wait; connections are made when they are needed, and closed in the end."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._http.aclose()

    async def schedule(self) -> Mapping[str, object] | None:
        """As the port says; what did not change is not sent again."""
        headers = {"If-None-Match": self._etag} if self._etag else {}
        answer = await self._ask("GET", "schedule", headers=headers)
        if answer is None:
            return None
        if answer.status_code == NOT_MODIFIED:
            return self._schedule
        found = self._document(answer) if answer.is_success else None
        if answer.status_code == NO_CONTENT:
            self._etag, self._schedule = "", None
        if isinstance(found, Mapping):
            self._etag, self._schedule = answer.headers.get("ETag", ""), found
            return found
        return None

    async def heartbeat(self) -> Heartbeat | None:
        """As the port says."""
        answer = await self._ask("GET", "heartbeat")
        return None if answer is None or not answer.is_success else heartbeat_from(self._document(answer))

    async def say(self, kind: str, payload: Mapping[str, object]) -> Receipt:
        """As the port says. What a plant's sensor gives is sent as it is, NaN too: to turn that away is for the other side."""
        data = json.dumps(payload, separators=(",", ":")).encode()
        answer = await self._ask("POST", f"letters/{quote(kind, safe='')}", data, {"Content-Type": "application/json"})
        if answer is None:
            return Receipt(accepted=False, reason=self._trouble)
        found = self._document(answer)
        told = found if isinstance(found, Mapping) else {}
        accepted = answer.is_success and told.get("accepted", True) is True
        reason = str(told.get("reason") or told.get("detail") or "")
        return Receipt(accepted=accepted, reason="" if accepted else one_line(reason or f"HTTP {answer.status_code}"))

    def trouble(self) -> str:
        """As the port says."""
        return self._trouble

    async def _ask(
        self, method: str, path: str, data: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response | None:
        """One request, a second one with a token that was renewed; None: nobody answered."""
        answer = await self._once(method, path, data, headers or {})
        if answer is not None and answer.status_code == UNAUTHORISED and self._renewed():
            answer = await self._once(method, path, data, headers or {})
        if answer is not None:
            alright = answer.is_success or answer.status_code == NOT_MODIFIED or method == "POST"
            self._trouble = "" if alright else self._told(answer)
        return answer

    async def _once(self, method: str, path: str, data: bytes | None, headers: Mapping[str, str]) -> httpx.Response | None:
        bearer = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            async with self._http.stream(method, path, content=data, headers={**bearer, **headers}) as answer:
                body = bytearray()
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > MAX_ANSWER_BYTES:
                        self._trouble = f"an answer of more than {MAX_ANSWER_BYTES} bytes"
                        return None
                return httpx.Response(answer.status_code, headers=_plain(answer.headers), content=bytes(body))
        except (httpx.HTTPError, OSError) as error:
            self._trouble = one_line(str(error)) or type(error).__name__
            return None

    def _renewed(self) -> bool:
        """Whether the token's file holds another one now."""
        if not self._options.secret_file:
            return False
        try:
            token = token_of(self._options.secret_file)
        except Misconfigured:
            return False
        changed, self._token = token != self._token, token
        return changed

    def _document(self, answer: httpx.Response) -> object:
        """The JSON of an answer; None, and trouble, where there is none."""
        try:
            return document(answer.content, MAX_ANSWER_BYTES) if answer.content else None
        except NotALetter as error:
            self._trouble = f"the answer {error}"
            return None

    def _told(self, answer: httpx.Response) -> str:
        """Why an answer is none of use."""
        found = self._document(answer)
        detail = found.get("detail") if isinstance(found, Mapping) else ""
        return one_line(f"HTTP {answer.status_code} {detail or ''}".strip())


def _plain(headers: httpx.Headers) -> dict[str, str]:
    """Headers of a body that is decoded already."""
    return {
        key: value for key, value in headers.items() if key not in {"content-encoding", "transfer-encoding", "content-length"}
    }
