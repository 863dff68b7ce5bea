"""What a run of the software plant came to."""

from __future__ import annotations

from dataclasses import dataclass, field

from scheduler.domain.plantlink import LinkMode
from scheduler.simulate.plant.plant import PlantStep, SoftwarePlant
from scheduler.units import S_PER_MIN, kwh_from_kw_s


@dataclass(slots=True)
class Summary:
    """Sums over all steps so far; energies in kWh."""

    steps: int = 0
    passed_s: float = 0.0
    fallback_s: float = 0.0
    manual_s: float = 0.0
    boiler_on_s: float = 0.0
    taken_kwh: float = 0.0
    boiler_kwh: float = 0.0
    demand_kwh: float = 0.0
    unserved_kwh: float = 0.0
    dry_cooler_kwh: float = 0.0
    sequences: list[int] = field(default_factory=list)
    ever_heard: bool = False

    def add(self, step: PlantStep) -> None:
        """Take one step in."""
        view = step.view
        flows, duration_s = view.flows, view.flows.duration_s
        self.steps += 1
        self.passed_s += duration_s
        self.fallback_s += duration_s * (view.decided.mode is LinkMode.FALLBACK)
        self.manual_s += duration_s * (view.decided.mode is LinkMode.MANUAL)
        self.boiler_on_s += duration_s * view.store.boiler.wanted
        self.taken_kwh += kwh_from_kw_s(flows.taken_kw, duration_s)
        self.boiler_kwh += kwh_from_kw_s(flows.boiler_kw, duration_s)
        self.demand_kwh += kwh_from_kw_s(flows.served_kw + flows.unserved_kw, duration_s)
        self.unserved_kwh += kwh_from_kw_s(flows.unserved_kw, duration_s)
        self.dry_cooler_kwh += kwh_from_kw_s(flows.dry_cooler_kw, duration_s)
        self.ever_heard = self.ever_heard or view.link_age_s is not None
        if view.sequence is not None and (not self.sequences or self.sequences[-1] != view.sequence):
            self.sequences.append(view.sequence)

    def to_json(self, plant: SoftwarePlant) -> dict[str, object]:
        """As plain values."""
        return {
            "minutes": round(self.passed_s / S_PER_MIN, 2),
            "minutesInFallback": round(self.fallback_s / S_PER_MIN, 2),
            "minutesManual": round(self.manual_s / S_PER_MIN, 2),
            "minutesBoilerOn": round(self.boiler_on_s / S_PER_MIN, 2),
            "heatTakenKwh": round(self.taken_kwh, 3),
            "boilerKwh": round(self.boiler_kwh, 3),
            "demandKwh": round(self.demand_kwh, 3),
            "unservedKwh": round(self.unserved_kwh, 3),
            "dryCoolerKwh": round(self.dry_cooler_kwh, 3),
            "schedules": len(self.sequences),
            "lastSequence": self.sequences[-1] if self.sequences else None,
            "acknowledged": plant.counts.acknowledged,
            "lettersAccepted": plant.counts.accepted,
            "lettersRefused": plant.counts.refused,
            "everHeard": self.ever_heard,
        }
