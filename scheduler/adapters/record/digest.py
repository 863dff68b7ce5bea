"""One digest per plan: equal digests, equal plans, whatever the machine was called or how long it took."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from scheduler.adapters.record.codec import encode
from scheduler.domain.plan import Plan


def plan_digest(plan: Plan) -> str:
    """SHA-256 over everything a plan says, seconds of the solver's stages left out."""
    timeless = replace(plan, report=replace(plan.report, stage_s={}))
    text = json.dumps(encode(Plan, timeless), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
