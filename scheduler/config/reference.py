"""The reference site: one pool, one plug, one customer, sized by a scenario, so that two results compare.

Sizes are assumptions in the range of published figures, not a real site.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from scheduler.domain.contract import ElectricityContract, FirmRule, HeatTariff, TariffKind
from scheduler.domain.job import Flexibility, JobClass
from scheduler.domain.site import Caps, Cop, CopModel, HeatPump, NodePower, Offtake, Plug, Pool, SinkKind, Site, Tank
from scheduler.units import eur_per_kwh_from_eur_per_mwh, s_from_h

POOL = "gpu"
PLUG = "loop"
OFFTAKE = "heat-network"


@cache
def _text() -> str:
    """The packaged parameters as text."""
    return files("scheduler.config").joinpath("data/reference.json").read_text(encoding="utf-8")


def reference_parameters() -> dict[str, Any]:
    """The parameters of the reference site, as a fresh copy."""
    parameters: dict[str, Any] = json.loads(_text())
    return parameters


def reference_site(
    *,
    gpus: int,
    gpus_per_node: int,
    heat_peak_kw: float,
    gpu_model: str = "H100-SXM",
    time_zone: str = "UTC",
    name: str = "reference",
) -> Site:
    """The reference site for a number of GPUs and a peak of heat demand in kW."""
    ref = reference_parameters()
    node, cooling = ref["node"], ref["cooling"]
    power = NodePower(**node)
    pump = HeatPump(
        rated_heat_kw=ref["heat_pump"]["rated_heat_kw_per_gpu"] * gpus,
        min_load_fraction=ref["heat_pump"]["min_load_fraction"],
        start_cost_eur=ref["heat_pump"]["start_cost_eur"],
        cop=_cop(ref["heat_pump"]["cop"]),
    )
    plug = Plug(
        plug_id=PLUG,
        max_heat_kw=pump.rated_heat_kw,
        capture_gpu_fraction=ref["capture"]["gpu"],
        capture_other_fraction=ref["capture"]["other"],
        capture_lag_s=ref["capture"]["lag_s"],
        heat_pump=pump,
        tank=_tank(ref["tank"], heat_peak_kw),
        rejection_electric_fraction=cooling["rejected_kw_el_per_kw"],
        room_electric_fraction=cooling["room_air_kw_el_per_kw"],
        supply_max_c=pump.cop.sink_out_c,
    )
    electricity = ref["electricity"]
    return Site(
        name=name,
        time_zone=time_zone,
        pools=(Pool(pool_id=POOL, plug_id=PLUG, gpus=gpus, gpus_per_node=gpus_per_node, gpu_model=gpu_model, power=power),),
        plugs=(plug,),
        offtakes=(_offtake(ref, pump.rated_heat_kw),),
        classes=tuple(_job_class(class_name, values) for class_name, values in ref["classes"].items()),
        caps=Caps(
            levels=tuple(ref["caps"]["levels"]),
            binding_draw_fraction=ref["caps"]["draw_when_binding_fraction_of_cap"],
            speed_of_ratio=tuple((ratio, speed) for ratio, speed in ref["caps"]["speed_of_ratio"]),
        ),
        electricity=ElectricityContract(
            network_eur_per_kwh=eur_per_kwh_from_eur_per_mwh(electricity["adder_eur_per_mwh"]),
            carbon_price_eur_per_tonne=electricity["carbon_price_eur_per_tonne"],
        ),
        overhead_fraction_of_it=ref["overhead_fraction_of_it"],
        site_limit_kw=electricity["site_limit_kw_per_gpu"] * gpus,
    )


def _cop(values: dict[str, Any]) -> Cop:
    """COP model of the reference heat pump."""
    rest = {key: value for key, value in values.items() if key != "model"}
    return Cop(model=CopModel(values["model"]), **rest)


def _tank(values: dict[str, Any], heat_peak_kw: float) -> Tank:
    """Tank sized by the peak of heat demand."""
    return Tank(
        capacity_kwh=values["capacity_kwh_per_heat_peak_kw"] * heat_peak_kw,
        max_charge_kw=values["max_charge_fraction_of_heat_peak"] * heat_peak_kw,
        max_discharge_kw=values["max_discharge_fraction_of_heat_peak"] * heat_peak_kw,
        loss_per_hour_fraction=values["loss_per_hour_fraction"],
        initial_fraction=values["initial_fraction"],
        end_at_least_initial=values["end_at_least_initial"],
    )


def _offtake(ref: dict[str, Any], max_heat_kw: float) -> Offtake:
    """The customer, its tariff and firm rule. The tariff is written as clip(scale x base^T, floor, ceiling)."""
    formula = re.fullmatch(r"clip\((\S+) x (\S+)\^T, (\S+), (\S+)\)", ref["tariff"]["eur_per_mwh"])
    if formula is None:
        raise ValueError("the packaged reference tariff does not read clip(scale x base^T, floor, ceiling)")
    scale, base, floor, ceiling = (float(text) for text in formula.groups())
    firm = ref["firm"]
    tariff = HeatTariff(
        kind=TariffKind.TEMPERATURE_INDEXED,
        scale_eur_per_kwh=eur_per_kwh_from_eur_per_mwh(scale),
        temperature_base=base,
        floor_eur_per_kwh=eur_per_kwh_from_eur_per_mwh(floor),
        ceiling_eur_per_kwh=eur_per_kwh_from_eur_per_mwh(ceiling),
        without_outdoor_eur_per_kwh=eur_per_kwh_from_eur_per_mwh(ref["tariff"]["without_outdoor_c"]),
    )
    rule = FirmRule(
        gate_local=firm["gate_local"],
        quantile=firm["quantile"],
        tolerance_fraction=firm["tolerance_fraction"],
        shortfall_eur_per_kwh=eur_per_kwh_from_eur_per_mwh(firm["shortfall_eur_per_mwh"]),
        capacity_eur_per_kwh=eur_per_kwh_from_eur_per_mwh(firm["capacity_eur_per_firm_mwh"]),
    )
    return Offtake(
        offtake_id=OFFTAKE, plug_id=PLUG, sink=SinkKind.DISTRICT_HEATING, max_heat_kw=max_heat_kw, tariff=tariff, firm=rule
    )


def _job_class(name: str, values: dict[str, Any]) -> JobClass:
    """A workload class; its name is its flexibility."""
    return JobClass(
        name=name,
        flexibility=Flexibility(name),
        max_slowdown_fraction=values.get("max_slowdown", 0.0),
        max_delay_s=s_from_h(values.get("max_delay_h", 0.0)),
        waiting_eur_per_gpu_h=values["waiting_eur_per_gpu_h"],
        lateness_eur_per_gpu_h=values.get("lateness_eur_per_gpu_h", 0.0),
        value_eur_per_gpu_h=values.get("value_eur_per_gpu_h", 0.0),
        min_runtime_s=s_from_h(values.get("min_runtime_h", 0.0)),
        max_preemptions=values.get("max_preemptions", 0),
        checkpoint_s=values.get("checkpoint_s", 0.0),
    )
