"""What is generated for plant links: the JSON Schema of the message, and that of `link.yaml` with its page of fields."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from scheduler.config.kinds.base import GROUP
from scheduler.config.link_file import LinkFile
from scheduler.config.schemas import part_rows
from scheduler.core.publishing.schema import heat_schedule_schema

MARK = "Generated from scheduler/config/link_file.py by scripts/generate.py; do not edit."


def generated() -> dict[PurePosixPath, str]:
    """Every generated file: path from the root of the repository -> text."""
    link = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://{GROUP}/schemas/link.json",
        "$comment": MARK,
        **LinkFile.model_json_schema(by_alias=True),
    }
    return {
        PurePosixPath("docs/reference/heat-schedule.schema.json"): json.dumps(heat_schedule_schema(), indent=1) + "\n",
        PurePosixPath("docs/reference/link.schema.json"): json.dumps(link, indent=1) + "\n",
        PurePosixPath("docs/reference/link.md"): _page(),
    }


def _page() -> str:
    """`docs/reference/link.md`."""
    lines = [
        f"<!-- {MARK} -->",
        "# link.yaml",
        "",
        "Every field of the file that sets `heat-dispatch plant-link` up ([plant-link.md](../plant-link.md)). Paths count from",
        "the file's folder. A field without a default (**required**) must be given; *none*: leaving it out has a meaning of",
        "its own. An interface that is left out is off.",
        "",
        "| field | type | default | unit | meaning |",
        "|---|---|---|---|---|",
        *part_rows(LinkFile),
    ]
    return "\n".join(lines) + "\n"
