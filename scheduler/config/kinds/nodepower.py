"""NodePower: caps wished for and in force on one GPU node."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from scheduler.config.kinds.base import Part, Resource, Status, about

GpuUuid = Annotated[str, Field(min_length=1, max_length=64)]
PodUid = Annotated[str, Field(min_length=1, max_length=64)]
GpuCondition = Literal["free", "capped", "waiting", "restoring", "yielded", "unavailable"]


class GpuCap(Part):
    """A cap for one GPU while one pod sits on it."""

    uuid: GpuUuid = about("The GPU.")
    pod_uid: PodUid = about("The pod it is meant for; another occupant ends the cap.")
    cap_watts: float = about("Power limit.", "W", gt=0.0, le=5000.0)
    emergency: bool = about("A reduction that may not wait: the pause between two changes does not hold it up.", default=False)


class NodePowerSpec(Part):
    """What the operator wishes; caps are leases."""

    plan_id: str = about("Plan that wished for it.")
    generation: int = about("Counts changes of the wish.", "count", ge=0)
    lease_seconds: float = about("Caps let go this long after the last sign of life.", "s", default=120.0, ge=10.0, le=3600.0)
    gpus: list[GpuCap] = about("Caps; a GPU that is not named has none.", default_factory=list, max_length=64)


class GpuState(Part):
    """One GPU as its agent sees it."""

    uuid: GpuUuid = about("The GPU.")
    pod_uid: PodUid | None = about("Pod that sits on it, if it is known and the only one.", default=None)
    requested_watts: float | None = about("Limit wished for.", "W", default=None, ge=0.0)
    enforced_watts: float | None = about("Limit in force.", "W", default=None, ge=0.0)
    original_watts: float | None = about("Limit that was found, and is restored.", "W", default=None, ge=0.0)
    min_watts: float | None = about("Lowest limit the GPU takes.", "W", default=None, ge=0.0)
    max_watts: float | None = about("Highest limit the GPU takes.", "W", default=None, ge=0.0)
    cap_watts: float | None = about("Cap that is held; in a dry run the one that would be.", "W", default=None, ge=0.0)
    condition: GpuCondition | None = about(
        "How it stands: free, capped, waiting (a change comes later), restoring (the limit could not be given back yet), "
        "yielded (somebody else sets it), unavailable (it cannot be capped).",
        default=None,
    )
    why: Annotated[str, Field(max_length=256)] | None = about("Why it stands so, in words.", default=None)


class NodePowerStatus(Status):
    """What is in force; written by that node's agent only, on change only."""

    lease: Literal["Valid", "Expired", "None"] | None = about("State of the lease.", default=None)
    gpus: list[GpuState] = about("GPUs of the node.", default_factory=list, max_length=64)


class NodePower(Resource):
    """Caps wished for and in force on one GPU node; its name is the node's."""

    plural: ClassVar = "nodepowers"
    short_names: ClassVar = ("npower",)
    columns: ClassVar = (
        ("Plan", "string", ".spec.planId"),
        ("Lease", "string", ".status.lease"),
        ("Capping", "string", ".status.conditions[?(@.type=='Capping')].reason"),
        ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status"),
    )

    kind: Literal["NodePower"] = about("NodePower.")
    spec: NodePowerSpec = about("Wish of the operator.")
    status: NodePowerStatus | None = about("Written by the node's agent.", default=None)
