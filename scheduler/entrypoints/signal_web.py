"""Who may be asked, and with which credentials: what the operator and `signals check` share of the web."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path

from scheduler.adapters.clock import Clocks
from scheduler.adapters.sources.blueprint import Answer, Ask
from scheduler.adapters.sources.feed import Fetch
from scheduler.adapters.sources.folder import SCHEME, Folder
from scheduler.adapters.sources.web.client import Unanswered, WebClient
from scheduler.adapters.sources.web.hosts import HostRules
from scheduler.entrypoints.signal_cards import CARDS

Credentials = Callable[[str], Mapping[str, str]]
"""The credentials of a secret by its name; raises `Unanswered` when there are none."""


def own_hosts() -> tuple[str, ...]:
    """The hosts of the providers' own public addresses."""
    return tuple(sorted({host for card in CARDS.values() for host in card.hosts}))


def host_rules(allowed: Sequence[str], inside: Sequence[str]) -> HostRules:
    """Hosts that somebody has named, else the providers' own; `inside` may name this machine too.

    Raises:
        Misconfigured: something is no host.
    """
    here = [host for host in inside if is_here(host)]
    others = [host for host in inside if not is_here(host)]
    return HostRules((*(allowed or own_hosts()), *here), allow_loopback=bool(here), inside=others)


def is_here(entry: str) -> bool:
    """Whether `host` or `host:port` is this machine."""
    host = entry.partition("]")[0].removeprefix("[") if entry.startswith("[") else entry
    host = host if host.count(":") > 1 else host.partition(":")[0]
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def fetching(client: Callable[[], WebClient], credentials: Credentials, files: Folder | None = None) -> Callable[[str], Fetch]:
    """What feeds ask with, by the name of their secret; a secret is read anew for each ask that needs it, on a thread.

    files: where asks for files are answered; None: nowhere.
    """

    def with_secret(secret: str) -> Fetch:
        async def fetch(ask: Ask) -> Answer:
            if ask.url.startswith(SCHEME):
                return await from_file(files, ask)
            needed = bool(secret) and bool(ask.credentials())
            known = await asyncio.to_thread(credentials, secret) if needed else {}
            return await client().fetch(ask, known)

        return fetch

    return with_secret


def files_in(folder: Path | None, clock: Clocks) -> Folder | None:
    """Where files are answered from, if anybody has said it."""
    return None if folder is None else Folder(folder, clock.now_utc)


async def from_file(files: Folder | None, ask: Ask) -> Answer:
    """The answer of a file.

    Raises:
        Unanswered: nobody has said where files are, or it cannot be read.
    """
    if files is None:
        raise Unanswered("nobody has said where files are (`--signal-files DIR`)", final=True)
    return await files.fetch(ask)
