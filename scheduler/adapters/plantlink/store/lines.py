"""What a plant link knows of each customer, and the boards that follow from it. No task, no thread: the desk owns those."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scheduler.adapters.clock import Clocks
from scheduler.adapters.plantlink.store.database import News
from scheduler.adapters.plantlink.store.letters import Cleared
from scheduler.adapters.plantlink.store.life import BLOCK, Heard
from scheduler.adapters.plantlink.store.messages import KeptMessage
from scheduler.adapters.plantlink.store.reading import KeptLetter
from scheduler.core.publishing.heartbeat import COUNTERS, LinkState, heartbeat_of, next_counter
from scheduler.core.publishing.letters import LetterLimits
from scheduler.core.publishing.seen import cleared, seen_after
from scheduler.domain.link_life import LinkedOfftake, OperatorLife
from scheduler.domain.link_options import LinkTimes
from scheduler.domain.plantlink import Board, Heartbeat, Letter, ManualOverride, PlantSeen

ENDING = "the plant link is ending"
# A customer whom nobody names any more is shown so long after his last message, since that may still hold.
SHOWN = timedelta(days=1)
# So many heartbeats say "start the boiler" before a link that reads nothing any more falls silent.
LAST_BEATS = 2


@dataclass(slots=True, eq=False)
class Line:
    """One customer's conversation. left: counters that are reserved and not used; none at first, and then he is not shown."""

    linked: LinkedOfftake
    seen: PlantSeen = field(default_factory=PlantSeen)
    message: KeptMessage | None = None
    override_row: int = 0
    counter: int = 0
    left: int = 0
    version: int = 0
    board: Board | None = None
    noted: PlantSeen | None = None


class Lines:
    """All customers; ages of signs of life are counted on the monotonic clock: a wall clock that is set revives nobody."""

    def __init__(self, site_id: str, host: str, clock: Clocks, times: LinkTimes, *, shared: bool = False) -> None:
        """Know nobody yet; shared: links on other hosts read the same database, and may have taken over."""
        self._site_id, self._host, self._clock, self._times = site_id, host, clock, times
        self._blind_after_s = times.alive_s + LAST_BEATS * times.beat_s if shared else math.inf
        self.of: dict[str, Line] = {}
        self.boards: dict[str, Board] = {}
        self.version = 1
        self.life: OperatorLife | None = None
        self.ending = False
        # Counters that were reserved before we were silent are of no use after it.
        self.era = 0
        self._life_s = self._read_s = 0.0
        self._heard: Mapping[str, Heard] = {}
        self._read_to = 0
        self._own: set[int] = set()

    @property
    def speaks(self) -> bool:
        """Whether the operator beside us was the last that led, as far as we can still know.

        Who cannot read for longer than an operator may be silent must think that another link speaks by now. It has told its
        plants to start their boilers; after that silence says the same, and says it of us alone.
        """
        return self.life is not None and self.life.host == self._host and not self.blind

    @property
    def blind(self) -> bool:
        """Whether a database that others share could not be read for too long."""
        return self._clock.monotonic_s() - self._read_s > self._blind_after_s

    def silent_s(self) -> float | None:
        """For how long the operator in charge was not heard; None: it never was."""
        return None if self.life is None else self._clock.monotonic_s() - self._life_s

    def limits(self, offtake_id: str) -> LetterLimits:
        """What is plausible of one customer."""
        linked = self.of[offtake_id].linked
        return LetterLimits(max_heat_kw=linked.max_heat_kw, tank_kwh=linked.tank_kwh)

    # What was read.

    def take(self, news: News, read_s: float) -> bool:
        """Take up what was read; True when somebody is new, of whom there may be older letters.

        Args:
            news: what is in the database.
            read_s: when reading began, on the monotonic clock.
        """
        known, spoke = set(self.of), self.speaks
        self._read_s = read_s
        self._heard = self._heard if news.heard is None else news.heard
        if news.life is not None and news.life != self.life:
            self._live(news.life)
        if not spoke:
            # Where another link spoke before us, it has counted: its block of counters is behind ours.
            self.era += 1
            for line in self.of.values():
                line.left = 0
        old_utc = self._clock.now_utc() - SHOWN
        for name, message in news.messages.items():
            if name not in self.of and message.kept_utc < old_utc:
                continue
            line = self._line(name, str(message.payload.get("plugId", "")))
            line.message = message
            self._changed(line)
        for kept in news.letters:
            if kept.row not in self._own:
                self._heed(kept)
        for clear in news.clears:
            self._clear(clear)
        self._read_to = news.marks.letter
        self._own = {row for row in self._own if row > self._read_to}
        return not known.issuperset(self.of)

    def _live(self, life: OperatorLife) -> None:
        """A new sign of life."""
        age_s = max(0.0, (self._clock.now_utc() - life.at_utc).total_seconds())
        self.life, self._life_s = life, self._clock.monotonic_s() - age_s
        for linked in life.offtakes:
            line = self._line(linked.offtake_id, linked.plug_id)
            if line.linked != linked:
                line.linked, line.board = linked, None
        named = {one.offtake_id for one in life.offtakes}
        old_utc = self._clock.now_utc() - SHOWN
        for name, line in tuple(self.of.items()):
            if name not in named and (line.message is None or line.message.kept_utc < old_utc):
                del self.of[name]
                self.version += 1

    def _line(self, name: str, plug_id: str) -> Line:
        """A customer's line, made when he is named first."""
        line = self.of.get(name)
        if line is None:
            one = self._heard.get(name)
            seen = PlantSeen()
            if one is not None:
                seen = PlantSeen(
                    heard_utc=one.heard_utc,
                    counter=one.counter,
                    moved_utc=one.moved_utc,
                    counter_authenticated=one.counter_authenticated,
                )
            line = Line(linked=LinkedOfftake(offtake_id=name, plug_id=plug_id, max_heat_kw=0.0), seen=seen, noted=seen)
            self.of[name] = line
            self._changed(line)
        return line

    # What plants say.

    def heed_own(self, letter: Letter, row: int | None) -> None:
        """A letter that we have kept ourselves, or that is not kept (None); unless it was read back already."""
        if row is not None:
            if row <= self._read_to:
                return
            self._own.add(row)
        line = self.of.get(letter.offtake_id)
        self._heed(KeptLetter(row=row if row is not None else 0 if line is None else line.override_row, letter=letter))

    def _heed(self, kept: KeptLetter) -> None:
        line = self.of.get(kept.letter.offtake_id)
        if line is None:
            return
        line.seen = seen_after(line.seen, kept.letter)
        if isinstance(kept.letter.body, ManualOverride):
            line.override_row = kept.row
        self._changed(line)

    def _clear(self, clear: Cleared) -> None:
        line = self.of.get(clear.offtake_id)
        if line is not None and line.override_row <= clear.letter_row:
            line.seen = cleared(line.seen)
            self._changed(line)

    def _changed(self, line: Line) -> None:
        self.version += 1
        line.version, line.board = self.version, None

    # Boards.

    def show(self) -> bool:
        """Make boards anew where anything is new; True when a heartbeat now says something else than it did."""
        if not self.speaks:
            self.boards = {}
            return False
        now_utc, urgent, made = self._clock.now_utc(), False, dict[str, Board]()
        for name, line in self.of.items():
            if line.left <= 0 and name not in self.boards:
                continue
            beat, old = self._heartbeat(name, line, now_utc), self.boards.get(name)
            changed = old is None or signals(old.heartbeat) != signals(beat)
            urgent |= changed
            if changed or line.board is None:
                line.board = self._board(line, beat)
            made[name] = line.board if line.board is not None else self._board(line, beat)
        self.boards = made
        return urgent

    def beat(self) -> None:
        """Count one on for everybody who has a counter left."""
        now_utc = self._clock.now_utc()
        for name, line in self.of.items():
            if line.left > 0:
                line.counter, line.left = next_counter(line.counter), line.left - 1
                line.board = self._board(line, self._heartbeat(name, line, now_utc))
        self.show()

    def short(self) -> Sequence[str]:
        """Who will soon have no counter left."""
        return [name for name, line in self.of.items() if line.left < BLOCK // 2]

    def reserved(self, first: Mapping[str, int], era: int) -> None:
        """Counters were reserved: `BLOCK` of them after each of these; none where we were silent since they were asked for."""
        if era != self.era:
            return
        for name, before in first.items():
            line = self.of.get(name)
            if line is None:
                continue
            if line.left and before % COUNTERS == (line.counter + line.left) % COUNTERS:
                line.left += BLOCK
            else:
                line.counter, line.left = before % COUNTERS, BLOCK

    def _heartbeat(self, name: str, line: Line, now_utc: datetime) -> Heartbeat:
        """What is said of one customer now, with the counter as it stands."""
        life, silent_s = self.life, self.silent_s()
        # Whoever plans others is no sign of life to this one: his schedule stands, and nobody stands behind it.
        planned = life is not None and any(one.offtake_id == name for one in life.offtakes)
        state = LinkState(
            offtake_id=name,
            operator_utc=None if silent_s is None or not planned else now_utc - timedelta(seconds=silent_s),
            schedule=None if line.message is None else line.message.payload,
            seen=line.seen,
            critical=ENDING if self.ending else "" if life is None else life.critical,
            warning=line.linked.warning or ("" if life is None else life.warning),
            bypass=line.linked.bypass,
            ending=self.ending,
        )
        return heartbeat_of(state, line.counter, now_utc, self._times)

    def _board(self, line: Line, beat: Heartbeat) -> Board:
        return Board(
            site_id=self._site_id,
            plug_id=line.linked.plug_id,
            offtake_id=line.linked.offtake_id,
            version=line.version,
            heartbeat=beat,
            schedule=None if line.message is None else line.message.payload,
            schedule_json=b"" if line.message is None else line.message.data,
            seen=line.seen,
        )


def signals(beat: Heartbeat) -> tuple[object, ...]:
    """What of a heartbeat somebody acts on."""
    return (beat.last_sequence, beat.mode, beat.bypass, beat.boiler_on, beat.boiler_kw, beat.alarm, beat.alarm_text, beat.state)
