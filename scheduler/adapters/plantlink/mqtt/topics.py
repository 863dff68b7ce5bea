"""Topics of one offtake, `PREFIX/SITE/OFFTAKE/...`: what we publish, and where the plant may speak."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scheduler.domain.errors import Misconfigured

ONLINE, OFFLINE = b"online", b"offline"
# A level of a topic: no separator, no wildcard, nothing that brokers keep for themselves.
_LEVEL = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@dataclass(frozen=True, slots=True)
class Topics:
    """Names below `root`.

    schedule: retained, the newest HeatSchedule. heartbeat: every ten seconds, never retained. status: retained `online` or
    `offline`, our last will. receipts: what became of what the plant said.
    """

    root: str

    @property
    def schedule(self) -> str:
        """The newest HeatSchedule, retained; an empty message: there is none."""
        return f"{self.root}/schedule"

    @property
    def heartbeat(self) -> str:
        """Our sign of life, with the boiler signal."""
        return f"{self.root}/heartbeat"

    @property
    def status(self) -> str:
        """`online` or `offline`, retained."""
        return f"{self.root}/status"

    @property
    def receipts(self) -> str:
        """Our answers to letters."""
        return f"{self.root}/receipts"

    @property
    def letters(self) -> str:
        """Filter of all that the plant says."""
        return f"{self.root}/plant/+"

    def letter(self, kind: str) -> str:
        """Where the plant publishes letters of one kind."""
        return f"{self.root}/plant/{kind}"

    def kind_of(self, topic: str) -> str:
        """The kind of letter that a topic is for; empty when it is no topic of a letter."""
        before, _, kind = topic.rpartition("/")
        return kind if before == f"{self.root}/plant" else ""


def topics_of(prefix: str, site_id: str, offtake_id: str) -> Topics:
    """Topics of an offtake.

    Raises:
        Misconfigured: a name that cannot stand in a topic.
    """
    levels = [*prefix.split("/"), site_id, offtake_id]
    for level in levels:
        if not _LEVEL.fullmatch(level):
            raise Misconfigured(
                f"{level[:40]!r} cannot stand in a topic of MQTT",
                where=f"mqtt topics of {offtake_id[:40]!r}",
                expected="letters, digits and _ . : -, at most 128 characters",
            )
    return Topics("/".join(levels))
