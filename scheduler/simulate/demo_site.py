"""The made-up site of the demonstration and of tests: GPU halls on one cooling loop, a heat pump, a tank, two customers.

Sizes per GPU are round numbers in the range of published figures (8-GPU nodes of 700 W GPUs; a heat pump that lifts 45 to 70
degrees C; a tank for about an hour of heat); nobody's real site.
"""

from __future__ import annotations

from scheduler.domain.contract import ElectricityContract, FirmRule, HeatTariff, TariffKind
from scheduler.domain.job import Flexibility, JobClass
from scheduler.domain.site import (
    Caps,
    Cop,
    CopModel,
    DemandSource,
    HeatPump,
    NodePower,
    Offtake,
    Plug,
    Pool,
    SinkKind,
    Site,
    Tank,
)
from scheduler.units import s_from_h

PLUG, TOWN, BATH = "cooling-loop", "town-network", "swimming-bath"
GPUS_PER_NODE = 8
HEAT_KW_PER_GPU, TANK_KWH_PER_GPU, BATH_KW_PER_GPU = 0.8, 0.5, 0.05
GPU_NODE = NodePower(kw_per_gpu_base=0.125, host_slope=1.32, gpu_idle_w=70.0, gpu_max_w=700.0, gpu_min_w=200.0)
# Speed of training at a share of its natural draw: it falls slowly at first (shape as measured by You et al., NSDI 2023).
CAPS = Caps(
    levels=(1.0, 0.85, 0.7, 0.57),
    binding_draw_fraction=0.95,
    speed_of_ratio=((1.0, 1.0), (0.9, 0.98), (0.8, 0.95), (0.7, 0.91), (0.6, 0.84), (0.5, 0.72)),
)
CLASSES = (
    JobClass(name="interactive", flexibility=Flexibility.INSULATED, waiting_eur_per_gpu_h=0.1),
    JobClass(
        name="training",
        flexibility=Flexibility.DEFERRABLE,
        max_slowdown_fraction=0.1,
        max_delay_s=s_from_h(48.0),
        waiting_eur_per_gpu_h=0.005,
        lateness_eur_per_gpu_h=1.0,
        value_eur_per_gpu_h=0.05,
    ),
    JobClass(
        name="batch",
        flexibility=Flexibility.PREEMPTIBLE,
        max_slowdown_fraction=0.3,
        max_delay_s=s_from_h(72.0),
        waiting_eur_per_gpu_h=0.003,
        lateness_eur_per_gpu_h=1.0,
        value_eur_per_gpu_h=0.05,
        min_runtime_s=s_from_h(2.0),
        max_preemptions=2,
        checkpoint_s=300.0,
    ),
)


def demo_site(gpus: int = 256, halls: int = 1) -> Site:
    """A site of `gpus` GPUs, dealt to halls in whole nodes; each hall is a pool, and each pool costs the planner time."""
    nodes = gpus // GPUS_PER_NODE
    share = [nodes // halls + (index < nodes % halls) for index in range(halls)]
    return Site(
        name="demo",
        time_zone="Europe/Copenhagen",
        pools=tuple(
            Pool(
                pool_id=f"hall-{'abcdefgh'[index]}",
                plug_id=PLUG,
                gpus=count * GPUS_PER_NODE,
                gpus_per_node=GPUS_PER_NODE,
                gpu_model="H100-SXM",
                power=GPU_NODE,
            )
            for index, count in enumerate(share)
        ),
        plugs=(demo_plug(gpus),),
        offtakes=(town(gpus), bath(gpus)),
        classes=CLASSES,
        caps=CAPS,
        electricity=ElectricityContract(network_eur_per_kwh=0.025),
        site_limit_kw=1.2 * gpus,
    )


def demo_plug(gpus: int) -> Plug:
    """The cooling loop with its heat pump and tank."""
    rated_kw = HEAT_KW_PER_GPU * gpus
    tank_kwh = TANK_KWH_PER_GPU * gpus
    return Plug(
        plug_id=PLUG,
        max_heat_kw=rated_kw,
        capture_gpu_fraction=0.9,
        capture_other_fraction=0.3,
        heat_pump=HeatPump(
            rated_heat_kw=rated_kw,
            min_load_fraction=0.25,
            start_cost_eur=2.0,
            cop=Cop(model=CopModel.JENSEN, source_in_c=45.0, source_out_c=35.0, sink_in_c=45.0, sink_out_c=70.0),
        ),
        tank=Tank(
            capacity_kwh=tank_kwh, max_charge_kw=tank_kwh / 2, max_discharge_kw=tank_kwh / 2, loss_per_hour_fraction=0.002,
            initial_fraction=0.4,
        ),
    )  # fmt: skip


def town(gpus: int) -> Offtake:
    """A district heating network that pays more on cold days and takes firm promises."""
    tariff = HeatTariff(
        kind=TariffKind.TEMPERATURE_INDEXED,
        scale_eur_per_kwh=0.045,
        temperature_base=0.94,
        floor_eur_per_kwh=0.010,
        ceiling_eur_per_kwh=0.110,
        without_outdoor_eur_per_kwh=0.040,
    )
    return Offtake(
        offtake_id=TOWN,
        plug_id=PLUG,
        sink=SinkKind.DISTRICT_HEATING,
        max_heat_kw=HEAT_KW_PER_GPU * gpus,
        tariff=tariff,
        priority=2,
        firm=FirmRule(),
    )


def bath(gpus: int) -> Offtake:
    """A swimming bath: a little heat around the clock at a fixed price, served first."""
    return Offtake(
        offtake_id=BATH,
        plug_id=PLUG,
        sink=SinkKind.POOL,
        max_heat_kw=BATH_KW_PER_GPU * gpus,
        tariff=HeatTariff(kind=TariffKind.FIXED, fixed_eur_per_kwh=0.038),
        priority=1,
        demand_source=DemandSource.CONSTANT,
        constant_demand_kw=BATH_KW_PER_GPU * gpus,
    )
