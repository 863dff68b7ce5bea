"""Where the live page is served and to whom; apart, so that who does not serve it does not load a web server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PORT = 8090


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """host: address to listen on. port: 0 takes a free one. token_file: who has no token of it sees nothing.

    allowed_hosts: names by which the page may be asked for, besides those of this machine and `host`.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    token_file: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
