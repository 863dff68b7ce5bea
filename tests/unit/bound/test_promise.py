"""What a plan that knows everything promises: its sale over (1 - tolerance), as far as heat for that is there and wanted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bound_world import tiny_job, tiny_window

from scheduler.core.planning.bound.plant_path import PlantPath, plant_path
from scheduler.core.planning.bound.problem import BoundProblem, SaleHour
from scheduler.core.planning.bound.promise import promised_kw, wanted

PRICE = np.array([0.3, 0.1, 0.1, 0.3])


def promising(problem: BoundProblem) -> BoundProblem:
    """The first three hours can be promised, 100 kWh each, with a tolerance of 5 %."""
    hours = tuple(SaleHour(first=row, last=row + 1, most_kwh=100.0) for row in range(3))
    town = replace(problem.offtakes[0], sale_hours=hours, tolerance_fraction=0.05, capacity_eur_per_kwh=0.004)
    return replace(problem, offtakes=(replace(town, shortfall_eur_per_kwh=0.16),))


def a_path(delivered_kw: list[float], **flows: list[float]) -> PlantPath:
    """A path whose pump delivers; everything is sold unless stated."""
    nothing = [0.0] * len(delivered_kw)
    return PlantPath(
        delivered_kw=np.array([delivered_kw]),
        charge_kw=np.array([flows.get("charge_kw", nothing)]),
        discharge_kw=np.array([flows.get("discharge_kw", nothing)]),
        sold_kw=np.array([flows.get("sold_kw", delivered_kw)]),
        cost_eur=0.0,
    )


def test_no_more_is_promised_than_could_be_handed_over_and_is_wanted() -> None:
    """Demand 6 kW; per kW caught 1.25 kW delivered.

    Hour 0: 4 kW drawn, 0.5 + 3.6 = 4.1 kW caught, 5.125 kW at most: a sale of 5 keeps a promise of 5.263, but 5.125 is all.
    Hour 1: all of the demand is sold: 6. Hour 2: 8 kW drawn, up to the rating of 8 kW: 5 / 0.95 = 5.263. Hour 3 is not sold.
    """
    problem = promising(tiny_window(PRICE, ()))
    path = a_path([5.0, 6.0, 5.0, 4.0])
    promised = promised_kw(problem, path, np.array([[4.0, 8.0, 8.0, 8.0]]))
    assert promised[0].tolist() == pytest.approx([5.125, 6.0, 5.0 / 0.95, 4.0])


def test_a_pump_at_rest_has_no_heat_to_promise() -> None:
    """8 kW drawn, but the pump stands: the tank's 2 kWh are sold over two hours, and what it keeps can be promised.

    Hour 0 sells 1 kWh and the tank keeps 1: 1 / 0.95. Hour 1 sells that, nothing is left: 1. Hour 2: nothing.
    """
    problem = promising(tiny_window(PRICE, ()))
    plug = replace(problem.plugs[0], tank_capacity_kwh=5.0, tank_start_kwh=2.0, max_discharge_kw=5.0)
    path = a_path([0.0] * 4, discharge_kw=[1.0, 1.0, 0.0, 0.0], sold_kw=[1.0, 1.0, 0.0, 0.0])
    promised = promised_kw(replace(problem, plugs=(plug,)), path, np.full((1, 4), 8.0))
    assert promised[0].tolist() == pytest.approx([1.0 / 0.95, 1.0, 0.0, 0.0])


def test_two_customers_do_not_share_one_kilowatt_hour() -> None:
    """0.125 kW to spare in hour 0 (see above): the first customer of 4 kW takes it, the second promises its sale of 1 kW."""
    problem = promising(tiny_window(PRICE, ()))
    problem = replace(problem, offtakes=(problem.offtakes[0], problem.offtakes[0]))
    path = a_path([5.0, 0.0, 0.0, 0.0])
    path = replace(path, sold_kw=np.array([[4.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]))
    promised = promised_kw(problem, path, np.array([[4.0, 0.0, 0.0, 0.0]]))
    assert promised[:, 0].tolist() == pytest.approx([4.125, 1.0])


def test_a_plan_promises_no_more_than_demand() -> None:
    assert [hour.most_kwh for hour in wanted(promising(tiny_window(PRICE, ()))).offtakes[0].sale_hours] == [6.0, 6.0, 6.0]


def test_heat_through_the_tank_of_a_steered_plant_is_no_more_than_went_in() -> None:
    """Two hours at 5.125 kW, a tank that loses a tenth an hour: in and out in one hour gains nothing where rows are slots.

    Where a row may hide finer slots, heat taken late in it has lost nothing yet, and the program may use that.
    """
    problem = tiny_window(PRICE, (tiny_job(),), heat_eur_per_kwh=0.2)
    tank = {"tank_capacity_kwh": 10.0, "max_charge_kw": 10.0, "max_discharge_kw": 10.0, "tank_loss_per_h_fraction": 0.1}
    problem = replace(problem, plugs=(replace(problem.plugs[0], **tank),))  # type: ignore[arg-type]  # only floats here
    draw_kw = np.array([[0.0, 4.0, 4.0, 0.0]])
    steered, relaxed = plant_path(replace(problem, steered=True), draw_kw), plant_path(problem, draw_kw)
    assert steered is not None
    assert relaxed is not None
    assert float(steered.sold_kw.sum()) == pytest.approx(10.25, abs=1e-6)
    assert float(relaxed.sold_kw.sum()) > 10.3
