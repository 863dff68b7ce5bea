"""`commission.yaml`: how the acceptance run reaches the link, and what a person has to do or read for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from scheduler.config.findings import error, refuse
from scheduler.config.kinds.base import Part, about
from scheduler.config.lines import read_documents
from scheduler.config.load import part_of
from scheduler.config.table import read_text
from scheduler.core.reports.commission import PARTS
from scheduler.domain.errors import Misconfigured

MAX_FILE_BYTES = 200_000
Text = Annotated[str, Field(min_length=1, max_length=200)]
FilePath = Annotated[str, Field(min_length=1, max_length=1024)]
Command = Annotated[list[Text], Field(min_length=1, max_length=32)]
Section = Literal["transfer", "heartbeat", "integration", "alarms", "failover", "metering"]


class Seen(Part):
    """What both meters showed at one moment."""

    ours: float = about("Register of our heat meter.", "kWh", ge=0.0)
    reference: float = about("Register of the reference meter.", "kWh", ge=0.0)


class Metering(Part):
    """Two readings of both meters, with heat between them."""

    before: Seen = about("Before.")
    after: Seen = about("After.")
    supply_c: float = about("Mean supply temperature in between.", "C", ge=5.0, le=120.0)
    return_c: float = about("Mean return temperature in between.", "C", ge=5.0, le=120.0)
    meter_class: Literal[1, 2, 3] = about("Class of our meter (EN 1434).", "count", default=2)
    reference_error_fraction: float = about("How much the reference may err.", "fraction", default=0.01, ge=0.0, le=0.1)


class Stopping(Part):
    """Commands for what a person would otherwise do; run without a shell."""

    stop: Command | None = about("Stops it.", default=None)
    start: Command | None = about("Starts it again.", default=None)


class CommissionFile(Part):
    """The whole file."""

    site: Text = about("The site's name.")
    offtake: Text = about("Whose heat: the name of the HeatOfftake.")
    engineer: Text = about("Who makes the run.")
    protocol: Literal["rest", "modbus", "opcua", "mqtt"] = about("How the plant speaks.")
    address: Text = about("Of the link, or of the broker.")
    secret_file: FilePath | None = about("Token (REST) or password (MQTT).", default=None)
    username: Text | None = about("At an MQTT broker.", default=None)
    ca: FilePath | None = about("Authority of the other side's certificate, PEM.", default=None)
    certificate: FilePath | None = about("Our certificate.", default=None)
    key: FilePath | None = about("Its key.", default=None)
    server_certificate: FilePath | None = about("Of the OPC UA server.", default=None)
    unit: int = about("Modbus unit id.", "count", default=1, ge=1, le=247)
    prefix: Text = about("Of MQTT's topics.", default="heat-dispatch")
    mqtt_version: Literal[4, 5] = about("4: MQTT 3.1.1, or 5.", "count", default=5)
    parts: list[Section] = about("What is checked.", default_factory=lambda: list(PARTS), min_length=1, max_length=6)
    beat_seconds: float = about("Between two heartbeats.", "s", default=10.0, gt=0.0, le=60.0)
    watch_seconds: float = about("How long the heartbeat is watched.", "s", default=60.0, gt=0.0, le=86400.0)
    watchdog_seconds: float = about("Of the plant's watchdog.", "s", default=45.0, gt=0.0, le=300.0)
    within_seconds: float = about("In which the boiler must be wanted.", "s", default=60.0, gt=0.0, le=600.0)
    patience_seconds: float = about("How long a person may take for what he is asked.", "s", default=600.0, gt=0.0, le=86400.0)
    override: bool = about("Whether a manual override may be sent; our operator has to clear it.", default=False)
    operator: Stopping = about("Stopping the operator, which plans.", default_factory=Stopping)
    link: Stopping = about("Stopping the plant link.", default_factory=Stopping)
    metering: Metering | None = about("Readings of both meters; left out: they are asked for.", default=None)


def load_commission(path: Path) -> CommissionFile:
    """Read and check `commission.yaml`; files that it names are meant from its folder.

    Raises:
        Misconfigured: names the file and line of everything that is wrong.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise Misconfigured("the file is too large", where=path.name, expected=f"at most {MAX_FILE_BYTES} bytes")
        text = read_text(path)
    except OSError as bad:
        raise Misconfigured(f"cannot be read: {bad.strerror}", where=str(path), expected="a commission.yaml") from None
    documents, findings = read_documents(text, path.name)
    refuse(findings)
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        raise Misconfigured(f"{len(documents)} documents", where=path.name, expected="one mapping, as in docs/commissioning.md")
    file, findings = part_of(documents[0], CommissionFile)
    if file is not None:
        for name in ("secret_file", "ca", "certificate", "key", "server_certificate"):
            value = getattr(file, name)
            if value is not None and not (path.parent / value).is_file():
                here = str(CommissionFile.model_fields[name].alias)
                findings.append(error(documents[0].where((here,)), here, f"{value}: no such file", "a file that we may read"))
    refuse(findings)
    assert file is not None, "without findings there is a file"
    return file
