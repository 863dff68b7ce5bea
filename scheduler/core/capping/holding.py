"""What the setter does next with one GPU: one look, one order, one step.

A cap is a lease, and the way back comes first. Whatever of ours may be in force stands in the journal before it is written;
what is in force is judged by what the GPU reads, never by what was asked; and the acts of a step are in an order in which the
setter may be killed between any two of them:

    a new cap       Record(found, ours = new), Write(new)
    a change        Record(found, ours = old + new), Write(new), Record(found, ours = new)
    the way back    Write(found), Forget

Whoever starts next finds an entry, and on the GPU either one of ours, which is adopted or taken back, or what was found, which
is left as it is. One gap is known: a GPU that makes another limit out of the one it was told, and a kill before that was read
back and written down. What is found then looks like somebody else's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from scheduler.core.capping.bounds import Aim, aimed, jitter_s, same_w
from scheduler.core.capping.held import (
    Act,
    Facts,
    Forget,
    Grip,
    Held,
    JournalEntry,
    Ordered,
    Record,
    Step,
    Write,
    same_limit,
)
from scheduler.domain.capping import CapRules, Condition, FailMode, GpuStanding, Restored, SetterCounts


def decide(held: Held, seen: Facts | str, ordered: Ordered, now_s: float, rules: CapRules) -> Step:
    """What to do with one GPU now; never raises, and looks at no clock.

    Args:
        held: what the last step left (`outcome.after`).
        seen: a look, or why there is none.
        ordered: the newest order.
        now_s: the setter's monotonic clock.
        rules: what it keeps to. A dry run sets no cap; what an earlier life left in force is given back all the same.
    """
    if ordered.refused or ordered.back is not None:
        ordered = replace(ordered, want=None)
    case = _Case(held, seen if isinstance(seen, Facts) else Facts(requested_w=None), ordered, now_s, rules)
    if isinstance(seen, str) or seen.requested_w is None:
        return _unreadable(case, seen if isinstance(seen, str) else "does not say its limit")
    case = _looked(case, seen.requested_w)
    if case.held.torn:
        return _mended(case, seen.requested_w)
    if case.held.entry is None:
        return _free(case, seen.requested_w)
    return _with_entry(case, case.held.entry, seen.requested_w)


def lapsed(ordered: Ordered, now_s: float, rules: CapRules) -> Restored | None:
    """Why an order stands no longer, by the clock alone."""
    if ordered.heard_s is None or now_s - ordered.heard_s > rules.contact_s:
        return Restored.SILENT
    if ordered.want is not None and now_s >= ordered.until_s:
        return Restored.EXPIRED
    return None


def lapses_s(ordered: Ordered, rules: CapRules) -> float | None:
    """When an order ends by the clock alone, so that nobody need look before; None: it has no end, as nothing is wanted."""
    if ordered.want is None or ordered.heard_s is None:
        return None
    return min(ordered.until_s, ordered.heard_s + rules.contact_s)


@dataclass(frozen=True, slots=True)
class _Case:
    """All that a step hangs on."""

    held: Held
    seen: Facts
    ordered: Ordered
    now_s: float
    rules: CapRules
    foreign: int = 0

    @property
    def yielding(self) -> bool:
        """Whether the limit is left to somebody else for now."""
        return self.held.yield_until_s is not None and self.now_s < self.held.yield_until_s

    @property
    def default_w(self) -> float:
        """The GPU's default limit, 0 where it is not known (nothing is capped then)."""
        return self.seen.default_w or 0.0

    def step(self, condition: Condition, why: str, *acts: Act, cap_w: float | None = None, clamped: bool = False) -> Step:
        """The step that does `acts`."""
        newly_clamped = clamped and not self.held.clamped
        return Step(
            held=replace(self.held, clamped=clamped),
            acts=acts,
            standing=self._standing(condition, why, cap_w, clamped),
            now_s=self.now_s,
            before_w=self.seen.requested_w,
            counted=SetterCounts(foreign_writes=self.foreign, clamps=int(newly_clamped)),
        )

    def _standing(self, condition: Condition, why: str, cap_w: float | None, clamped: bool) -> GpuStanding:
        want, entry, seen = self.ordered.want, self.held.entry, self.seen
        return GpuStanding(
            uuid=self.held.uuid,
            condition=condition,
            why=why or self.held.trouble,
            original_w=None if entry is None else entry.original_w,
            requested_w=seen.requested_w,
            enforced_w=seen.enforced_w,
            default_w=seen.default_w,
            least_w=seen.least_w,
            most_w=seen.most_w,
            cap_w=cap_w,
            lease_s=None if want is None or cap_w is None else max(0.0, self.ordered.until_s - self.now_s),
            pod_uid="" if want is None else want.pod_uid,
            clamped=clamped,
        )


# What a look says about what we knew.


def _looked(case: _Case, requested_w: float) -> _Case:
    """The same, with what the limit tells: ours, lost with the driver, or changed by somebody else."""
    held, seen, now_s, rules = case.held, case.seen, case.now_s, case.rules
    if held.fought_s is not None and now_s - held.fought_s >= rules.yield_s:
        held = replace(held, fights=0, fought_s=None, yield_until_s=None)
    reloaded = held.epoch is not None and seen.driver_epoch > held.epoch
    held = replace(held, epoch=seen.driver_epoch)
    entry = held.entry
    if entry is None:
        return replace(case, held=held)
    if in_force_w(entry, requested_w) is not None:
        return replace(case, held=held if held.grip is Grip.FOUND else replace(held, grip=Grip.SURE))
    if reloaded or held.grip is Grip.LOOSE:
        return replace(case, held=replace(held, grip=Grip.LOOSE))
    if held.grip is Grip.UNSURE and requested_w < entry.original_w and not same_limit(requested_w, entry.original_w):
        # Something was written, and here is a limit that nobody knows: the GPU made it out of ours.
        strayed = replace(entry, ours_w=(*entry.ours_w, requested_w))
        return replace(case, held=replace(held, entry=strayed, recorded=False, grip=Grip.SURE))
    loose = replace(held, grip=Grip.LOOSE)
    if held.grip is Grip.UNSURE:
        return replace(case, held=loose)
    return _foreign(replace(case, held=loose), held.grip, requested_w)


def _foreign(case: _Case, grip: Grip, requested_w: float) -> _Case:
    """Ours is gone though the driver stayed: somebody else writes. Found so at start, or too often, it is left to him."""
    held, entry, rules = case.held, case.held.entry, case.rules
    usual_w = (entry.original_w if entry else None, case.seen.default_w)
    if grip is Grip.FOUND and any(one_w is not None and same_limit(one_w, requested_w) for one_w in usual_w):
        return case  # Given back before we came, or the driver was loaded anew.
    fights = held.fights + 1
    yields = grip is Grip.FOUND or fights > rules.fights
    until_s = case.now_s + rules.yield_s if yields else held.yield_until_s
    fought = replace(held, fights=fights, fought_s=case.now_s, yield_until_s=until_s)
    return replace(case, held=fought, foreign=1)


def in_force_w(entry: JournalEntry, requested_w: float) -> float | None:
    """Which of ours is in force; None when none is."""
    return next((ours_w for ours_w in reversed(entry.ours_w) if same_limit(ours_w, requested_w)), None)


# Whether it must end.


def _over(case: _Case) -> Restored | None:
    """Why what is, or may be, in force must go back; None: it stays."""
    held, ordered, rules = case.held, case.ordered, case.rules
    if ordered.stopping:
        return Restored.STOPPING
    if rules.dry_run:
        return Restored.STARTUP
    if ordered.refused or case.seen.mig or case.seen.whole_module:
        return Restored.REFUSED
    if ordered.back is Restored.OCCUPANT or _other_pod(held, ordered):
        return Restored.OCCUPANT
    unheard = held.grip is Grip.FOUND and ordered.want is None and ordered.heard_s is None
    if unheard and case.now_s - held.started_s <= rules.contact_s:
        return None  # An agent may be silent for so long.
    if ordered.want is not None:
        ended = lapsed(ordered, case.now_s, rules)
    else:
        ended = Restored.SILENT if ordered.heard_s is None else ordered.back or Restored.RELEASED
    if _kept(ended, rules):
        return None
    return Restored.STARTUP if unheard else ended


def _kept(ended: Restored | None, rules: CapRules) -> bool:
    """Whether the cap stays: nothing has ended it, or only time has and it is to hold."""
    return ended is None or (rules.fail_mode is FailMode.HOLD and ended in (Restored.EXPIRED, Restored.SILENT))


def _other_pod(held: Held, ordered: Ordered) -> bool:
    """Whether the cap was set for another pod than the one it is wanted for now."""
    return held.entry is not None and ordered.want is not None and held.entry.pod_uid != ordered.want.pod_uid


# Steps.


def _unreadable(case: _Case, why: str) -> Step:
    """Nothing can be done, and nothing is forgotten."""
    owed = case.held.torn or (case.held.entry is not None and _over(case) is not None)
    return case.step(Condition.RESTORING if owed else Condition.UNAVAILABLE, why, clamped=case.held.clamped)


def _mended(case: _Case, requested_w: float) -> Step:
    """A file that cannot be understood: its GPU gets its default limit if it has less. The file stays until that is done."""
    why = "its journal cannot be understood"
    default_w = case.seen.default_w
    if default_w is None:
        return case.step(Condition.RESTORING, f"{why}, nor does it say its default limit")
    if requested_w >= default_w or same_limit(requested_w, default_w):
        return _forgotten(case, why)
    return case.step(Condition.RESTORING, why, Write(default_w, Restored.STARTUP), Forget())


def _free(case: _Case, requested_w: float) -> Step:
    """Nothing of ours is in force."""
    held, ordered, rules = case.held, case.ordered, case.rules
    want = None if ordered.stopping or lapsed(ordered, case.now_s, rules) else ordered.want
    if want is None:
        case = replace(case, held=replace(held, due_s=None))
    unable = _unable(case.seen)
    if unable:
        return case.step(Condition.UNAVAILABLE, unable)
    if case.yielding:
        return case.step(Condition.YIELDED, "somebody else sets this limit")
    if want is None:
        return case.step(Condition.FREE, f"refused: {ordered.refused}" if ordered.refused else "")
    aim = aimed(want.cap_w, requested_w, case.seen, rules)
    if aim.cap_w is None:
        return case.step(Condition.FREE, aim.why, clamped=aim.clamped)
    if rules.dry_run:
        return case.step(Condition.FREE, "dry run", cap_w=aim.cap_w, clamped=aim.clamped)
    if held.due_s is None:
        wait_s = jitter_s(held.uuid, ordered.generation, rules.jitter_s)
        case = replace(case, held=replace(held, due_s=case.now_s + wait_s))
    return _set(case, requested_w, requested_w, aim)


def _with_entry(case: _Case, entry: JournalEntry, requested_w: float) -> Step:
    """Something of ours may be in force."""
    ours_w = in_force_w(entry, requested_w)
    if case.yielding:
        return _forgotten(case)
    ended = _over(case)
    if ended is not None:
        return _forgotten(case) if ours_w is None else _back(case, entry, ended)
    if case.held.grip is Grip.FOUND:
        if case.ordered.want is None:
            return case.step(Condition.CAPPED, "found at start; waits to be wished for", cap_w=ours_w)
        # Adopted: nothing is written, and the pause counts from here, since nobody knows the last change.
        case = replace(case, held=replace(case.held, grip=Grip.SURE, changed_s=case.now_s))
    want = case.ordered.want
    if ours_w is not None:
        aim = Aim(ours_w) if want is None else aimed(want.cap_w, entry.original_w, case.seen, case.rules)
        return _keep(case, entry, ours_w, aim)
    # The lowest of what others have set is the most that is ever given back.
    lowest_w = min(entry.original_w, requested_w)
    aim = aimed(entry.ours_w[-1] if want is None else want.cap_w, lowest_w, case.seen, case.rules)
    if aim.cap_w is None:
        return _forgotten(case, aim.why)
    return _set(case, requested_w, lowest_w, aim)


def _forgotten(case: _Case, why: str = "") -> Step:
    """Nothing of ours is in force: the limit is left as it is, and the entry goes."""
    acts = (Forget(),) if case.ordered.stopping or _may_record(case) else ()
    if case.yielding:
        return case.step(Condition.YIELDED, "somebody else sets this limit", *acts)
    return case.step(Condition.FREE, why, *acts)


def _back(case: _Case, entry: JournalEntry, ended: Restored) -> Step:
    """Give back what was found, or as much of it as the GPU still allows."""
    most_w = case.seen.most_w
    found_w = entry.original_w if most_w is None else min(entry.original_w, most_w)
    return case.step(Condition.RESTORING, case.held.trouble or ended.value, Write(found_w, ended), Forget())


def _keep(case: _Case, entry: JournalEntry, ours_w: float, aim: Aim) -> Step:
    """One of ours is in force: leave it, lower it, or raise it by a step."""
    if aim.cap_w is None:
        return _back(case, entry, Restored.RELEASED)
    raised_w = ours_w + case.rules.step_fraction * case.default_w
    next_w = aim.cap_w if aim.cap_w <= raised_w else max(aim.floor_w, ours_w + 1.0, float(math.floor(raised_w)))
    settled = case.held.recorded and entry.ours_w == (ours_w,)
    if not settled and _may_record(case):
        return case.step(Condition.CAPPED, aim.why, Record(replace(entry, ours_w=(ours_w,))), cap_w=ours_w, clamped=aim.clamped)
    if abs(aim.cap_w - ours_w) < same_w(case.default_w, case.rules):
        return case.step(Condition.CAPPED, aim.why, cap_w=ours_w, clamped=aim.clamped)
    why = _unable(case.seen) or _waits(case, reduces=next_w < ours_w)
    if not why and case.seen.braked and next_w > ours_w:
        why = "its hardware brakes it: no cap is raised meanwhile"
    if why:
        return case.step(Condition.WAITING, why, cap_w=ours_w, clamped=aim.clamped)
    both, alone = (replace(_renewed(case, entry), ours_w=ours) for ours in ((ours_w, next_w), (next_w,)))
    acts = (Record(both), Write(next_w), Record(alone))
    return case.step(Condition.WAITING, aim.why, *acts, cap_w=ours_w, clamped=aim.clamped)


def _set(case: _Case, requested_w: float, original_w: float, aim: Aim) -> Step:
    """Set a cap where none of ours is in force."""
    assert aim.cap_w is not None
    why = _unable(case.seen) or _waits(case, reduces=aim.cap_w < requested_w)
    if why:
        return case.step(Condition.UNAVAILABLE if case.held.trouble else Condition.WAITING, why, clamped=aim.clamped)
    entry = JournalEntry(uuid=case.held.uuid, original_w=original_w, ours_w=(aim.cap_w,))
    acts = (Record(_renewed(case, entry)), Write(aim.cap_w))
    return case.step(Condition.WAITING, aim.why, *acts, clamped=aim.clamped)


def _renewed(case: _Case, entry: JournalEntry) -> JournalEntry:
    """The entry with whose wish it is."""
    want, old = case.ordered.want, case.held.entry
    if want is not None:
        return replace(entry, pod_uid=want.pod_uid, plan_id=case.ordered.plan_id)
    return entry if old is None else replace(entry, pod_uid=old.pod_uid, plan_id=old.plan_id)


# When, and whether at all.


def _unable(seen: Facts) -> str:
    """Why no cap can be set on this GPU."""
    if seen.whole_module:
        return "only the whole module has a limit: its processor would be capped too"
    if seen.mig:
        return "MIG is on: its limit is shared by all parts"
    if not seen.may_set:
        return "not permitted: setting a limit takes CAP_SYS_ADMIN"
    if seen.default_w is None:
        return "does not say its default limit"
    return ""


def _may_record(case: _Case) -> bool:
    """Whether the journal may be tried again."""
    return case.held.record_again_s is None or case.now_s >= case.held.record_again_s


def _may_write(case: _Case) -> bool:
    """Whether a cap may be tried again."""
    return _may_record(case) and (case.held.write_again_s is None or case.now_s >= case.held.write_again_s)


def _waits(case: _Case, *, reduces: bool) -> str:
    """Why a change comes later; empty: now. A reduction in an emergency waits for nothing but for what failed just now."""
    held, want = case.held, case.ordered.want
    if not _may_write(case):
        return held.trouble
    if want is not None and want.emergency and reduces:
        return ""
    if held.changed_s is not None and case.now_s < held.changed_s + case.rules.pause_s:
        return "waits for the pause between two changes"
    if held.entry is None and held.due_s is not None and case.now_s < held.due_s:
        return "waits, so that nodes do not step together"
    return ""
