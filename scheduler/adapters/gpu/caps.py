"""The agent's part of capping: hear what is wished, know who holds which GPU, and ask the setter several times a second.

Every turn asks for all caps of the node; what is not asked for ends within a moment, and so does everything when this process
ends. A kubelet that hangs is waited for on a thread of its own: what it said last grows old meanwhile, and then counts no more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.gpu.node_power import SetterSeen, status_of
from scheduler.adapters.gpu.setter_client import SetterAway
from scheduler.adapters.logs import Episode, Teller
from scheduler.core.capping.asking import Asker, known, may_ask, pod_on
from scheduler.domain.capping import Answer, Asking, Condition, Heard, Occupancy

# A setter gives all back when it has not heard for `contact_s`, 1.2 s: two turns may be lost.
EVERY_S = 0.4
LOOK_EVERY_S = 0.5
# So many turns apart the status is made, as long as no GPU stands otherwise; whoever writes it writes changes alone.
REPORT_EVERY = 5


class Wishes(Protocol):
    """Where wishes come from, and where is said what became of them."""

    def start(self, stopping: threading.Event) -> None:
        """Begin to listen."""
        ...

    def heard(self) -> Heard:
        """What is wished now."""
        ...

    def report(self, status: Mapping[str, Any]) -> None:
        """Say what is in force."""
        ...


class Holders(Protocol):
    """Who knows which pod holds which GPU."""

    def look(self) -> Occupancy:
        """Ask now; never raises."""
        ...


class Setter(Protocol):
    """Who sets limits."""

    def exchange(self, asking: Asking) -> Answer:
        """Ask for all caps; raises SetterAway."""
        ...

    def look(self) -> Answer:
        """How every GPU stands; raises SetterAway."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What there is of it: wishes and a setter to cap, holders to know pods; each may be missing."""

    wishes: Wishes | None = None
    holders: Holders | None = None
    setter: Setter | None = None

    @property
    def by_wishes(self) -> bool:
        """Whether whoever wishes also knows who holds what; he is asked from one thread alone."""
        holders: object = self.holders
        return self.wishes is not None and holders is self.wishes


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that is known at one moment; made anew by every turn."""

    heard: Heard = field(default_factory=Heard)
    occupancy: Occupancy = field(default_factory=Occupancy)
    setter: SetterSeen = field(default_factory=SetterSeen)

    def pod_uid(self, uuid: str, now_s: float) -> str | None:
        """The pod that holds a GPU, "" for none, None when that is not known or there are several."""
        if not known(self.occupancy, now_s):
            return None
        if uuid not in self.occupancy.by_uuid:
            return "" if self.occupancy.all_named else None
        return pod_on(uuid, self.heard, self.occupancy, now_s) or None


class Caps:
    """Asks again and again; any thread may read what is known."""

    def __init__(self, parts: Parts, clock: MonotonicClock) -> None:
        """Know nothing yet."""
        self._parts, self._clock = parts, clock
        self._began_s = clock.monotonic_s()
        self._heard, self._occupancy, self._setter = Heard(), Occupancy(trouble="not asked yet"), SetterSeen()
        self._asker, self._waiting = Asker(), False
        self._turns, self._stands = 0, _stands(None)
        self._holding = Episode(Teller("agent.holders"), "asking who holds the GPUs")
        self._setting = Episode(Teller("agent.caps"), "asking the setter")

    # Reading.

    @property
    def parts(self) -> Parts:
        """What there is of it."""
        return self._parts

    def known(self) -> Known:
        """What is known now."""
        return Known(heard=self._heard, occupancy=self._occupancy, setter=self._setter)

    def troubles(self) -> list[str]:
        """What is missing for what this agent was started for."""
        found, now_s, parts = [], self._clock.monotonic_s(), self._parts
        if parts.wishes is not None and self._heard.trouble:
            found.append(self._heard.trouble)
        if parts.holders is not None and not known(self._occupancy, now_s):
            found.append(self._occupancy.trouble or "the kubelet does not say who holds the GPUs")
        # One that waits for the end of the setter before it is as it should be: that one ends when we are ready.
        if parts.setter is not None and self._setter.away(now_s) and not self._waiting:
            found.append(self._setter.trouble or "the setter was not asked yet")
        return found

    # Asking.

    def start(self, stopping: threading.Event) -> None:
        """Begin what there is to do, on threads that end after `stopping` is set."""
        parts = self._parts
        if parts.wishes is not None:
            parts.wishes.start(stopping)
        if parts.holders is not None and not parts.by_wishes:
            self._on_beat("holders", LOOK_EVERY_S, self.look, stopping)
        if parts.wishes is not None:
            self._on_beat("caps", EVERY_S, self.turn, stopping)

    def look(self) -> None:
        """Ask once who holds which GPU."""
        if self._parts.holders is None:
            return
        self._occupancy = found = self._parts.holders.look()
        if found.trouble:
            self._holding.failed(found.trouble)
        else:
            self._holding.worked()

    def turn(self) -> None:
        """Hear once what is wished, ask the setter for it, and say now and then what is in force."""
        wishes = self._parts.wishes
        if wishes is None:
            return
        self._heard = wishes.heard()
        if self._parts.by_wishes:
            self.look()
        if self._parts.setter is None:
            return
        self._ask(self._parts.setter)
        self._turns += 1
        stands = _stands(self._setter.answer)
        changed, self._stands = stands != self._stands, stands
        # What waits for another setter's end must not talk over that one's agent.
        if (changed or self._turns % REPORT_EVERY == 0) and not self._waiting:
            now_s = self._clock.monotonic_s()
            status = status_of(self._heard, self._occupancy, self._setter, now_s, began_s=self._began_s)
            if status:
                wishes.report(status)

    def _ask(self, setter: Setter) -> None:
        """Ask for all caps; where not all sources have spoken yet only look, which renews nothing and takes nothing back."""
        heard, occupancy, now_s = self._heard, self._occupancy, self._clock.monotonic_s()
        try:
            asking = self._asker.asked(heard, occupancy, now_s) if may_ask(heard, occupancy) else None
            answer = setter.look() if asking is None else setter.exchange(asking)
        except SetterAway as error:
            self._waiting = False
            self._setter = self._setter.failed(str(error))
            self._setting.failed(error)
            return
        self._waiting = answer.waiting
        self._setter = self._setter.said(answer, now_s)
        self._setting.worked()

    def _on_beat(self, name: str, every_s: float, once: Callable[[], None], stopping: threading.Event) -> None:
        """Do something on a thread and a beat; what was missed is not made up for."""

        def run() -> None:
            next_s = self._clock.monotonic_s()
            while not stopping.is_set():
                once()
                next_s = max(next_s + every_s, self._clock.monotonic_s())
                stopping.wait(next_s - self._clock.monotonic_s())

        threading.Thread(target=run, name=name, daemon=True).start()


def _stands(answer: Answer | None) -> tuple[tuple[Condition, str], ...]:
    """How all GPUs stand, in few words."""
    return () if answer is None else tuple((one.condition, one.why) for one in answer.gpus)
