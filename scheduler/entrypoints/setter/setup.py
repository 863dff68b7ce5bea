"""How a setter is set up: what the command passes on to the guardian, and that to each worker, as one line of JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field

from scheduler.domain.capping import CapRules, FailMode

GUARDIAN = "scheduler.entrypoints.setter.main"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Paths, users that may ask, GPUs that may be capped (None: all), and the rules. backend: who sets limits.

    standby: it stands behind another one of its pod, at the same socket, for the case that this one's container ends.
    """

    socket: str
    journal: str
    allow_uids: tuple[int, ...]
    gpus: tuple[str, ...] | None = ()
    rules: CapRules = field(default_factory=CapRules)
    backend: str = "nvml"
    log_json: bool = False
    standby: bool = False


def setup_text(setup: Setup) -> str:
    """As one line."""
    return json.dumps(asdict(setup))


def guardian_command(setup: Setup) -> list[str]:
    """The command line of a guardian so set up; -P: as root it loads nothing from the folder in which it was started."""
    return [sys.executable, "-P", "-m", GUARDIAN, setup.journal, setup_text(setup)]


def setup_of(text: str) -> Setup:
    """From that line; who wrote it has checked it."""
    told = json.loads(text)
    rules = told.pop("rules")
    gpus = told.pop("gpus")
    return Setup(
        **{**told, "allow_uids": tuple(told["allow_uids"])},
        gpus=None if gpus is None else tuple(gpus),
        rules=CapRules(**{**rules, "fail_mode": FailMode(rules["fail_mode"])}),
    )
