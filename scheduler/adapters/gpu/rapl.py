"""Energy of processors by RAPL, as Linux shows it in its powercap tree: `intel-rapl:0/energy_uj`, on AMD under the same name.

The counters of packages and of memory (`dram`) are added; parts of a package are in it, and `psys` holds packages and more, so
both are left out. A counter begins at zero again after `max_energy_range_uj`, some minutes apart at full load. Only root may
read them, since CVE-2020-8694.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scheduler.adapters.gpu.host_power import HostPowerAway
from scheduler.adapters.gpu.intervals import PROCESSORS
from scheduler.core.accounting.gpu_energy import LONGEST_S, Piece
from scheduler.core.accounting.host_energy import counter_rise_j
from scheduler.units import j_from_microjoule

COUNTED = ("package", "dram")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counters:
    """All counters at one time, in J."""

    at_s: float
    joules: dict[Path, float]


class Rapl:
    """Reads all counters again and again; the name of its pieces is that of the processors."""

    name = PROCESSORS

    def __init__(self, folder: Path) -> None:
        """Read below `folder`, on Linux /sys/class/powercap."""
        self._folder = folder
        self._ranges_j: dict[Path, float] = {}
        self._last: _Counters | None = None

    def look(self, at_s: float) -> Piece | None:
        """Energy since the last look; None for the first one, and after a gap in which a counter may have come round twice.

        Raises:
            HostPowerAway: when a counter cannot be read.
        """
        if not self._ranges_j:
            self._ranges_j = self._found()
        now = _Counters(at_s=at_s, joules={zone: _joules(zone / "energy_uj") for zone in self._ranges_j})
        last, self._last = self._last, now
        if last is None or not 0.0 < at_s - last.at_s <= LONGEST_S:
            return None
        rises = (counter_rise_j(last.joules[zone], now.joules[zone], range_j) for zone, range_j in self._ranges_j.items())
        return Piece(uuid=self.name, start_s=last.at_s, end_s=at_s, joules=sum(rises))

    def _found(self) -> dict[Path, float]:
        """Zones that count, with the range of each."""
        zones = [zone for zone in sorted(self._folder.glob("intel-rapl:*")) if _name(zone).startswith(COUNTED)]
        if not zones:
            raise HostPowerAway(
                f"{self._folder}: no counter of a processor", "the host's /sys/class/powercap, mounted read-only"
            )
        return {zone: _joules(zone / "max_energy_range_uj") for zone in zones}


def _name(zone: Path) -> str:
    """What a zone is; empty where it does not say."""
    try:
        return (zone / "name").read_text("utf-8").strip()
    except OSError:
        return ""


def _joules(file: Path) -> float:
    """A counter.

    Raises:
        HostPowerAway: when it is none, or not for us.
    """
    try:
        return j_from_microjoule(float(int(file.read_text("utf-8"))))
    except PermissionError as error:
        raise HostPowerAway(f"{file}: only root may read it (mode 0400)", "user id 0, or a mode that lets this user") from error
    except OSError as error:
        raise HostPowerAway(f"{file}: {error.strerror}", "the host's /sys/class/powercap, mounted read-only") from error
    except ValueError as error:
        raise HostPowerAway(f"{file}: no number", "the host's /sys/class/powercap") from error
