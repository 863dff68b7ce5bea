"""DispatchPlan: what was decided last, one per DispatchPolicy."""

from __future__ import annotations

from typing import ClassVar, Literal

from scheduler.config.kinds.base import InstantText, Name, Part, Resource, Status, Word, about


class DispatchPlanSpec(Part):
    """Whose plan it is."""

    policy_ref: Name = about("DispatchPolicy that this plan belongs to.")


class HeatHour(Part):
    """Heat of one plug in one hour."""

    start: InstantText = about("Begin of the hour.")
    p50_kw: float = about("Median heat.", "kW", ge=0.0)
    p10_kw: float = about("Heat exceeded nine times in ten.", "kW", ge=0.0)
    p90_kw: float = about("Heat exceeded once in ten.", "kW", ge=0.0)
    firm_kw: float = about("Heat promised.", "kW", default=0.0, ge=0.0)


class PlugHeat(Part):
    """Heat of one plug over the horizon."""

    plug: Name = about("ThermalPlug.")
    hours: list[HeatHour] = about("Hours in rising order.", default_factory=list, max_length=96)


class Term(Part):
    """One term of the cost."""

    term: Name = about("Name of the term.")
    eur: float = about("Amount; revenue is negative.", "EUR")


class PoolOutlook(Part):
    """What a pool is planned to do, hour by hour."""

    pool: Name = about("Pool.")
    gpus: list[float] = about("GPUs of planned jobs, mean of each hour.", "count", default_factory=list, max_length=48)
    it_kw: list[float] = about("Power of the pool's nodes, all jobs included.", "kW", default_factory=list, max_length=48)


class OfftakeOutlook(Part):
    """What a heat customer is planned to get, hour by hour."""

    offtake: Name = about("HeatOfftake.")
    heat_kw: list[float] = about("Heat sold to it.", "kW", default_factory=list, max_length=48)
    demand_kw: list[float] = about("Heat that it asks for.", "kW", default_factory=list, max_length=48)
    eur_per_kwh: list[float] = about("What it pays.", "EUR/kWh", default_factory=list, max_length=48)


class Outlook(Part):
    """The plan's next day: one value for each clock hour from `start` on."""

    start: InstantText = about("Begin of the first hour.")
    eur_per_kwh: list[float] = about("What power costs, fees and the price of carbon included.", "EUR/kWh", max_length=48)
    pools: list[PoolOutlook] = about("Pools.", default_factory=list, max_length=64)
    offtakes: list[OfftakeOutlook] = about("Heat customers.", default_factory=list, max_length=64)


class PlanSignal(Part):
    """Who told one quantity when the plan was made."""

    quantity: Word = about("Quantity: price, carbon, outdoor, heat_demand.")
    source: Word = about("Source that told the present.")
    others: list[Word] = about("Sources that told what it left open.", default_factory=list, max_length=8)
    heard_at: InstantText = about("When the source was last heard.")
    known_until: InstantText | None = about("End of what is known.", default=None)
    assumed: bool = about("Made by a rule, told by nobody.", default=False)


class DispatchPlanStatus(Status):
    """The plan in numbers; replaced in place, history is in the ledger."""

    plan_id: str | None = about("Identity of the plan.", default=None)
    input_digest: str | None = about("Digest of the input; the same input gives the same plan.", default=None)
    mode: Literal["Observe", "Advise", "Dispatch"] | None = about("Mode in which it was made.", default=None)
    made_at: InstantText | None = about("When it was made.", default=None)
    plan_status: Literal["fresh", "lastGood", "ruleBased", "letGo"] | None = about("Degraded step, if any.", default=None)
    degraded_reason: Word | None = about("Why it is not fresh.", default=None)
    rolling_gap: float | None = about("Proven gap of the model that is integral for the first hour.", "1", default=None, ge=0.0)
    plan_gap: float | None = about("Gap of the rounded plan over the whole horizon.", "1", default=None, ge=0.0)
    objective: list[Term] = about("Cost by term.", default_factory=list, max_length=32)
    baseline: list[Term] = about("Cost of the baseline by term.", default_factory=list, max_length=32)
    heat: list[PlugHeat] = about("Heat by plug and hour.", default_factory=list, max_length=64)
    outlook: Outlook | None = about("The next day by pool and customer; only of a plan that was solved.", default=None)
    signals: list[PlanSignal] = about("Who told what the plan rests on.", default_factory=list, max_length=32)
    held: int | None = about("Jobs held.", "count", default=None, ge=0)
    started: int | None = about("Jobs started.", "count", default=None, ge=0)
    stopped: int | None = about("Jobs stopped.", "count", default=None, ge=0)
    capped: int | None = about("Jobs capped.", "count", default=None, ge=0)


class DispatchPlan(Resource):
    """What was decided last for one DispatchPolicy; written by the operator, read by people."""

    plural: ClassVar = "dispatchplans"
    short_names: ClassVar = ("plan", "plans")
    columns: ClassVar = (
        ("Mode", "string", ".status.mode"),
        ("Status", "string", ".status.planStatus"),
        ("Gap", "number", ".status.rollingGap"),
        ("Held", "integer", ".status.held"),
        ("Started", "integer", ".status.started"),
        ("Capped", "integer", ".status.capped"),
        ("Made", "date", ".status.madeAt"),
    )

    kind: Literal["DispatchPlan"] = about("DispatchPlan.")
    spec: DispatchPlanSpec = about("Whose plan.")
    status: DispatchPlanStatus | None = about("The plan.", default=None)
