"""Which interfaces a link has, and what makes each; a protocol's library is loaded only where it is set up."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scheduler.adapters.metering.polling import MeterInterface, reader_for
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import LinkOptions, MeterOptions
from scheduler.ports import Clock, PlantDesk, PlantInterface

ADAPTERS = "scheduler.adapters.plantlink"
# Where those that have files or rules of their own look at their options.
CHECKED_BY = {"rest": ("rest.server", "check"), "opcua": ("opcua.server", "check"), "mqtt": ("mqtt.session", "checked")}
# Module and class of each protocol, below `ADAPTERS`; the extra that has its library.
MADE_BY = {
    "rest": ("rest.server", "RestInterface", ""),
    "webhook": ("webhook.push", "WebhookInterface", ""),
    "modbus": ("modbus.server", "ModbusInterface", "modbus"),
    "opcua": ("opcua.server", "OpcuaInterface", "opcua"),
    "mqtt": ("mqtt.client", "MqttInterface", "mqtt"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """An interface that is to run: its name in logs and metrics, and what makes it (again after it has ended).

    check: raises Misconfigured when it could not begin as it is set up, as far as that shows before it does.
    """

    name: str
    make: Callable[[PlantDesk, Clock], PlantInterface]
    check: Callable[[], None] = lambda: None


def interfaces_of(options: LinkOptions) -> tuple[Planned, ...]:
    """Everything that is set up.

    Raises:
        Misconfigured: a library is missing.
    """
    found = [_planned("rest", "rest", options.rest)] if options.rest is not None else []
    found += [_planned(f"webhook {one.credential.name}", "webhook", one) for one in options.webhooks]
    found += [_planned("modbus", "modbus", options.modbus)] if options.modbus is not None else []
    found += [_planned("opcua", "opcua", options.opcua)] if options.opcua is not None else []
    found += [_planned(f"mqtt {one.host}:{one.port}", "mqtt", one) for one in options.mqtt]
    found += [_meter(one) for one in options.meters]
    return tuple(found)


def _planned(name: str, protocol: str, options: Any) -> Planned:
    """One interface; its module is loaded now, so that a missing library is told before anything runs."""
    module, kind, extra = MADE_BY[protocol]
    try:
        made = getattr(importlib.import_module(f"{ADAPTERS}.{module}"), kind)
    except ImportError as error:
        expected = f"pip install heat-dispatch[{extra}]" if extra else "a whole installation of heat-dispatch"
        raise Misconfigured(f"{error.name or error} is missing", where=protocol, expected=expected) from None
    return Planned(name=name, make=lambda desk, clock: made(options, desk, clock), check=lambda: _check(protocol, options))


def _check(protocol: str, options: Any) -> None:
    """What a protocol itself finds wrong."""
    if protocol in CHECKED_BY:
        module, name = CHECKED_BY[protocol]
        getattr(importlib.import_module(f"{ADAPTERS}.{module}"), name)(options)


def _meter(options: MeterOptions) -> Planned:
    """A meter that we read; made once now, so that registers that cannot be are told before anything runs."""
    reader_for(options)
    return Planned(name=f"meter {options.meter_point_id}", make=lambda desk, clock: MeterInterface(options, desk, clock))
