"""`heat-dispatch validate`: check a directory of manifests before anybody plans with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from scheduler.config.findings import Finding, errors_of
from scheduler.config.load import Manifests, load_manifests
from scheduler.config.validate import validate_manifests
from scheduler.entrypoints.console import friendly, report_findings, talk, write_json
from scheduler.entrypoints.options import JsonFile
from scheduler.entrypoints.signal_cards import findings as source_findings

HELP = """Check a directory of manifests: syntax, fields, references, conformance of plugs and offtakes, suspicious units,
sources that no provider knows.

Every finding names file, line and field. Exit code 0: nothing stops (warnings may be there); 2: an error.

**Examples**

    heat-dispatch validate examples/reference

    heat-dispatch validate my-site --json findings.json
"""


@friendly
def validate(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of YAML manifests, or one file.")],
    json_file: JsonFile = None,
    at: Annotated[
        datetime | None,
        typer.Option(
            "--at", metavar="UTC", formats=["%Y-%m-%d"], help="Day for which calibrations are checked [default: today]."
        ),
    ] = None,
) -> None:
    """Check a directory of manifests."""
    now_utc = today() if at is None else at.replace(tzinfo=UTC)
    manifests, findings = checked(directory, now_utc)
    write_json(json_file, as_json(directory, manifests, findings))
    report_findings(findings)
    objects = f"{len(manifests.entries)} object{'' if len(manifests.entries) == 1 else 's'}"
    warnings = f", {len(findings)} warning{'' if len(findings) == 1 else 's'}" if findings else ", nothing to complain about"
    talk(json_file).print(f"{directory}: {objects}{warnings}", markup=False, soft_wrap=True)


def today() -> datetime:
    """The moment now; only here, the rules get it as an argument."""
    return datetime.now(tz=UTC)  # noqa: TID251 - the shell reads the clock


def checked(directory: Path, now_utc: datetime) -> tuple[Manifests, list[Finding]]:
    """Load and validate. Rules between objects are only checked when every object could be read."""
    manifests, findings = load_manifests(directory)
    if errors_of(findings):
        return manifests, list(findings)
    told = [*validate_manifests(manifests, now_utc), *source_findings(manifests)]
    return manifests, [*findings, *sorted(told, key=lambda finding: finding.level)]


def as_json(directory: Path, manifests: Manifests, findings: Sequence[Finding]) -> dict[str, Any]:
    """The result as plain data."""
    return {
        "directory": str(directory),
        "valid": not errors_of(findings),
        "objects": [
            {"kind": type(entry.resource).__name__, "name": entry.resource.name, "where": entry.where()}
            for entry in manifests.entries
        ],
        "findings": [
            {
                "level": str(finding.level),
                "where": finding.where,
                "field": finding.field,
                "message": finding.message,
                "expected": finding.expected,
            }
            for finding in findings
        ],
    }
