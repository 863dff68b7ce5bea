"""WorkloadClass: what may be done to a job."""

from __future__ import annotations

from typing import ClassVar, Literal

from scheduler.config.kinds.base import DurationText, Part, Resource, Status, about

PER_GPU_HOUR = "EUR/GPUh"


class Checkpoint(Part):
    """How a preemptible job keeps its progress."""

    interval: DurationText | None = about("How often the job saves by itself; none: on request.", default=None)
    cost_seconds: float = about("Run time lost by one stop and resume.", "s", default=0.0, ge=0.0, le=86400.0)


class ClassSelector(Part):
    """Jobs of this class that carry no label."""

    namespaces: list[str] = about("Namespaces.", default_factory=list, max_length=64)
    queues: list[str] = about("Kueue LocalQueues.", default_factory=list, max_length=64)
    match_labels: dict[str, str] = about("Labels of the Job.", default_factory=dict)


class WorkloadClassSpec(Part):
    """Flexibility, its limits and its prices, per GPU-hour of the job's GPUs."""

    rules: ClassVar = (
        (
            "self.flexibility != 'insulated' || (self.maxSlowdown == 0.0 && self.maxPreemptions == 0 && !self.migratable)",
            "an insulated class is never slowed, stopped or moved",
        ),
        ("self.flexibility == 'preemptible' || self.maxPreemptions == 0", "only a preemptible class may be stopped"),
    )

    flexibility: Literal["insulated", "deferrable", "preemptible"] = about(
        "insulated: nothing is done to it; deferrable: it may start later; preemptible: it may also stop and resume."
    )
    migratable: bool = about("It may run on another pool than the one asked for.", default=False)
    max_slowdown: float = about("Largest loss of throughput by a power cap, at every moment.", "1", default=0.0, ge=0.0, le=0.5)
    max_delay: DurationText = about("Longest wait and pauses together.", "duration", default="0s")
    default_deadline: DurationText | None = about("Deadline after submit, for jobs that name none.", "duration", default=None)
    default_duration: DurationText = about("Run time expected of jobs that declare none.", "duration", default="4h")
    waiting_eur_per_gpu_hour: float = about(
        "Price of waiting. 0.005 outweighs a night-day spread of 7 EUR/MWh on a 0.7 kW GPU only.",
        PER_GPU_HOUR,
        default=0.0,
        ge=0.0,
    )
    lateness_eur_per_gpu_hour: float = about("Price of running past the deadline.", PER_GPU_HOUR, default=0.0, ge=0.0)
    value_eur_per_gpu_hour: float = about(
        "Marginal value of GPU time: what slowing a job costs. A cap to 70 % saves about 0.2 kWh in a GPU-hour and costs "
        "9 % of this price: at 0.05 it pays from about 25 EUR/MWh up, at 2.0 never.",
        PER_GPU_HOUR,
        default=0.0,
        ge=0.0,
    )
    min_runtime: DurationText = about("Never stopped before.", "duration", default="0s")
    max_preemptions: int = about("Never stopped more often.", "count", default=0, ge=0, le=1000)
    checkpoint: Checkpoint = about("How progress is kept.", default_factory=Checkpoint)
    power_profile: Literal["generic_training", "compute_bound", "memory_bound"] = about(
        "What a cap does to its speed.", default="generic_training"
    )
    selectors: list[ClassSelector] = about("Jobs of this class that carry no label.", default_factory=list, max_length=16)


class WorkloadClass(Resource):
    """What may be done to the jobs that carry its name; a job without a class is insulated."""

    rules: ClassVar = (
        (
            "self.metadata.name != 'insulated' || self.spec.flexibility == 'insulated'",
            "the class of jobs without a class, insulated, cannot be flexible",
        ),
    )
    plural: ClassVar = "workloadclasses"
    short_names: ClassVar = ("wlclass",)
    columns: ClassVar = (
        ("Flexibility", "string", ".spec.flexibility"),
        ("Max delay", "string", ".spec.maxDelay"),
        ("Max slowdown", "number", ".spec.maxSlowdown"),
    )

    kind: Literal["WorkloadClass"] = about("WorkloadClass.")
    spec: WorkloadClassSpec = about("Flexibility, limits, prices.")
    status: Status | None = about("Written by the operator.", default=None)
