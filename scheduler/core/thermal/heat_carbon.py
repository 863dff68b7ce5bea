"""Carbon of delivered heat: of the electricity that lifts and moves it, and of nothing else.

    g per kWh heat = c (1/COP + w)

c is the grid's intensity in the slot, g/kWh; COP the heat pump's delivered heat per electricity (no heat pump: 1/COP is 0); w
the electricity of circulation pumps per kWh of heat. It is what an account of avoided emissions takes off for delivered heat.
The compute's own electricity stays in the computing centre's account (its Scope 2, GHG Protocol), so that nothing is counted
twice; no contract says otherwise yet. Heat out of a tank counts as if it were lifted in the slot in which it is handed over.
"""

from __future__ import annotations

import numpy as np

from scheduler.core.thermal.heat_pump import cop
from scheduler.domain.site import HeatPump
from scheduler.domain.time import FloatArray


def heat_g_per_kwh(grid_g_per_kwh: FloatArray, pump: HeatPump | None, pumping_kwh_per_kwh: float = 0.0) -> FloatArray:
    """Carbon of a kWh of heat in each slot, g; zero for heat that is handed over as warm as it comes without any pumping.

    Args:
        grid_g_per_kwh: carbon intensity of the grid by slot, not negative.
        pump: the heat pump between loop and customer; None: heat is handed over directly.
        pumping_kwh_per_kwh: electricity of circulation pumps per kWh of heat; a site does not say it, and 0 stands for that.
    """
    lifting = 0.0 if pump is None else 1.0 / cop(pump.cop)
    return np.asarray(grid_g_per_kwh * (lifting + pumping_kwh_per_kwh))
