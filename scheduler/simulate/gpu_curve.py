"""What a GPU does under a cap, looked up once per pair of natural draw and cap."""

from __future__ import annotations

from scheduler.core.thermal.host import capped_draw_w, speed_at
from scheduler.domain.site import Caps, NodePower


class GpuCurve:
    """Draw in W and relative speed of a GPU with a natural draw under a limit."""

    def __init__(self, caps: Caps) -> None:
        """Read the site's curve."""
        self._caps = caps
        self._known: dict[tuple[float, float, float], tuple[float, float]] = {}

    def at(self, natural_w: float, cap_w: float | None, power: NodePower) -> tuple[float, float]:
        """Return (draw in W, speed); without a cap the natural draw at full speed."""
        if cap_w is None or cap_w >= natural_w:
            return natural_w, 1.0
        key = (natural_w, cap_w, power.gpu_idle_w)
        if key not in self._known:
            draw_w = max(capped_draw_w(self._caps, cap_w, natural_w), power.gpu_idle_w)
            self._known[key] = draw_w, speed_at(self._caps, draw_w / natural_w)
        return self._known[key]
