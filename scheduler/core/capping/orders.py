"""What of an asking may be done at all: judged before any GPU is looked at, want by want."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scheduler.core.capping.held import Ordered
from scheduler.domain.capping import Asking, Want
from scheduler.units import S_PER_H

MOST_CAP_W = 5000.0
"""No GPU has such a limit: whoever asks for more has mistaken a unit."""
MOST_LEASE_S = S_PER_H


class Refusal(StrEnum):
    """Why a want, or a whole asking, is refused; the label of the metric."""

    OLDER = "older_generation"
    """The whole asking: something newer of the same source was heard. It is no sign of life."""
    NO_NUMBER = "not_a_number"
    OUT_OF_RANGE = "cap_out_of_range"
    LEASE = "lease_out_of_range"
    UNKNOWN = "unknown_gpu"
    NOT_OPTED_IN = "not_opted_in"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Newest:
    """The highest generation that was heard of the source that spoke last."""

    source: str = ""
    generation: int = 0

    def with_asking(self, asking: Asking) -> Newest:
        """After an asking that was not refused; one that wishes for nothing and names no source changes nothing."""
        return Newest(asking.source, asking.generation) if asking.source else self


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An asking after its judgement. older: it is refused as a whole, and nothing else of it counts. By uuid otherwise."""

    asking: Asking
    older: bool = False
    wants: Mapping[str, Want] = field(default_factory=dict)
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    counted: Mapping[str, int] = field(default_factory=dict)

    def ordered(self, uuid: str, now_s: float) -> Ordered:
        """The order for one GPU, heard now. One whose want was refused gets its limit back."""
        want, refused = self.wants.get(uuid), self.refused.get(uuid)
        return Ordered(
            want=want,
            until_s=now_s if want is None else now_s + want.lease_s,
            heard_s=now_s,
            back=None if want is not None or refused is not None else self.asking.back.get(uuid),
            refused="" if refused is None else refused.value,
            generation=self.asking.generation,
            plan_id=self.asking.plan_id,
        )


def judged(
    asking: Asking, machine: Collection[str], opted_in: Collection[str] | None = None, newest: Newest | None = None
) -> Judged:
    """What of `asking` may be done.

    Args:
        asking: as it came over the wire, where only its form was judged.
        machine: uuids of this machine's GPUs, also of those that are lost just now.
        opted_in: those that may be capped; None: all of them.
        newest: what was heard before.
    """
    if newest is not None and asking.source == newest.source and asking.generation < newest.generation:
        return Judged(asking=asking, older=True, counted={Refusal.OLDER.value: 1})
    named = Counter(want.uuid for want in asking.wants)
    verdicts = [(want, _refusal(want, named[want.uuid], machine, opted_in)) for want in asking.wants]
    return Judged(
        asking=asking,
        wants={want.uuid: want for want, refusal in verdicts if refusal is None},
        refused={want.uuid: refusal for want, refusal in verdicts if refusal is not None},
        counted=dict(Counter(refusal.value for _want, refusal in verdicts if refusal is not None)),
    )


def _refusal(want: Want, times: int, machine: Collection[str], opted_in: Collection[str] | None) -> Refusal | None:
    """Why one want cannot be; None when it can."""
    if want.uuid not in machine:
        return Refusal.UNKNOWN
    if opted_in is not None and want.uuid not in opted_in:
        return Refusal.NOT_OPTED_IN
    if times > 1:
        return Refusal.DUPLICATE
    if not (math.isfinite(want.cap_w) and math.isfinite(want.lease_s)):
        return Refusal.NO_NUMBER
    if not 0.0 < want.cap_w <= MOST_CAP_W:
        return Refusal.OUT_OF_RANGE
    return None if 0.0 < want.lease_s <= MOST_LEASE_S else Refusal.LEASE
