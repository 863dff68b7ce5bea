"""What the agent tells over HTTP: `/v1/telemetry` for the operator, `/metrics` for Prometheus, `/healthz` and `/readyz`.

Telemetry and metrics say what jobs draw, so they are for whoever knows the token. Probes are for everybody, and say yes or no;
why not is said to whoever knows the token, and in the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from scheduler.adapters.clock import Clocks
from scheduler.adapters.gpu.agent_metrics import Row, families, of_caps, of_gpus, of_occupancy
from scheduler.adapters.gpu.caps import Caps, Known
from scheduler.adapters.gpu.host_power import HostPower
from scheduler.adapters.gpu.intervals import PROCESSORS, WALL, Slot
from scheduler.adapters.gpu.sampler import Sampler, Seen
from scheduler.adapters.gpu.serving import JSON, TEXT, Answer, Asked, Page
from scheduler.core.accounting.host_energy import HostModel, wall_energy
from scheduler.domain.telemetry import PATH, VERSION

# A GPU that was not read for so long is told of no more: what it draws now is not known.
STALE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Whatever knows something. model: the straight line of the host, where one is given."""

    sampler: Sampler
    caps: Caps
    host: Sequence[HostPower] = ()
    model: HostModel | None = None


class Telling:
    """Pages; every answer is made of what is known at that moment."""

    def __init__(self, sources: Sources, clock: Clocks, *, node: str, boot: str) -> None:
        """Tell of `node`; `boot` tells one start of the agent from another."""
        self._from, self._clock, self._node, self._boot = sources, clock, node, boot
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def pages(self) -> Mapping[str, Page]:
        """By path."""
        return {
            PATH: Page(answer=self.telemetry),
            "/metrics": Page(answer=self.metrics),
            "/healthz": Page(answer=self.alive, guarded=False),
            "/readyz": Page(answer=self.ready, guarded=False),
        }

    def telemetry(self, asked: Asked) -> Answer:
        """The operator's view; see docs/observing.md."""
        return 200, JSON, json.dumps(self.document(asked.query)).encode()

    def document(self, query: Mapping[str, str]) -> dict[str, Any]:
        """GPUs that were read lately, and the intervals that were not told yet."""
        slots, now_s, now_utc = self._from.sampler.intervals.over(), self._clock.monotonic_s(), self._clock.now_utc()
        since = _count(query.get("since")) if query.get("boot") == self._boot else -1
        last_s = slots[-1].end_s if slots else now_s
        seen, known = self._from.sampler.seen(), self._from.caps.known()
        uuids = [one.reading.uuid for one in seen]
        return {
            "version": VERSION,
            "node": self._node,
            "boot": self._boot,
            "measuredUtc": _text(now_utc - timedelta(seconds=now_s - last_s)),
            "gpus": [_gpu(one, known, now_s) for one in _fresh(seen, now_s)],
            "slots": [self._slot(slot, uuids) for slot in slots if slot.sequence > since],
        }

    def metrics(self, _asked: Asked) -> Answer:
        """The page for Prometheus."""
        return 200, "text/plain; version=0.0.4; charset=utf-8", generate_latest(self._registry)

    def ready(self, asked: Asked) -> Answer:
        """Whether all that this agent was started for can be done."""
        troubles = self.troubles()
        if not troubles:
            return 200, TEXT, b"ok\n"
        return 503, TEXT, "".join(f"{one}\n" for one in troubles if asked.trusted).encode() or b"not ready\n"

    def troubles(self) -> list[str]:
        """What is missing. A source of the host's power is not among it: the operator has a model for that."""
        driver = self._from.sampler.trouble
        return [*([driver] if driver else []), *self._from.caps.troubles()]

    def alive(self, _asked: Asked) -> Answer:
        """That this process answers; a GPU that hangs is no reason to start it anew."""
        return 200, TEXT, b"ok\n"

    def collect(self) -> Iterable[Metric]:
        """What Prometheus gets."""
        return families(self._rows())

    def _rows(self) -> Iterable[Row]:
        now_s, now_utc = self._clock.monotonic_s(), self._clock.now_utc()
        sampler, caps = self._from.sampler, self._from.caps
        seen, known = sampler.seen(), caps.known()
        yield from of_gpus(seen, _fresh(seen, now_s))
        for one in seen:
            yield "gpu_last_read_timestamp_seconds", (one.reading.uuid,), now_utc.timestamp() - (now_s - one.at_s)
        yield "gpus", (), float(sampler.count)
        yield "gpus_lost", (), float(len(sampler.lost()))
        yield "driver_up", (), float(not sampler.trouble)
        for source in self._from.host:
            yield "host_energy_joules_total", (source.name,), source.total_j
            yield "host_power_up", (source.name,), float(not source.trouble)
        if caps.parts.holders is not None:
            yield from of_occupancy(known, now_s)
        if caps.parts.setter is not None:
            yield from of_caps(known, now_s)

    def _slot(self, slot: Slot, uuids: Sequence[str]) -> dict[str, Any]:
        """One interval."""
        gpus = {name: round(value, 3) for name, value in slot.joules.items() if name not in (WALL, PROCESSORS)}
        told: dict[str, Any] = {"sequence": slot.sequence, "seconds": slot.seconds, "joules": gpus}
        inside = [source.name for source in self._from.host if source.name != WALL]
        wall = wall_energy(slot.joules, uuids, slot.seconds, self._from.model, wall=WALL, inside=inside)
        if wall is not None:
            told |= {"wallJoules": round(wall[0], 3), "wallOf": wall[1].value}
        return told


def _fresh(seen: Sequence[Seen], now_s: float) -> list[Seen]:
    return [one for one in seen if now_s - one.at_s <= STALE_S]


def _gpu(seen: Seen, known: Known, now_s: float) -> dict[str, Any]:
    """One GPU; what is not known is left out. Who holds the parts of a split GPU is not told of the whole."""
    reading = seen.reading
    told = {
        "uuid": reading.uuid,
        "podUid": None if reading.mig else known.pod_uid(reading.uuid, now_s),
        "limitWatts": reading.limits.enforced_w,
        "powerOf": "module" if reading.whole_module else "gpu",
        "throttledBy": None if reading.reasons is None else sorted(reason.value for reason in reading.reasons),
        "cappedSeconds": round(seen.capped_s, 3),
        "instances": list(reading.instances) if reading.mig else None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _count(text: str | None) -> int:
    """A count, -1 for nonsense: then everything is told."""
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 20 else -1


def _text(at_utc: datetime) -> str:
    """An instant."""
    return at_utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
