"""Power of a machine by its management controller: Redfish (DMTF DSP0266, schema bundle DSP8010).

Asked for in this order: the input of all power supplies, as `PowerSubsystem` tells (schema `PowerSupplyMetrics`, 2020.4 and
later) or `Power` (older, and still the most common); else what the one chassis that tells of any says it takes
(`PowerControl[0].PowerConsumedWatts`, or `EnvironmentMetrics`). The input of the supplies is what is paid for; what a chassis
says of itself may leave the GPUs out.
"""

from __future__ import annotations

import base64
import json
import math
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from scheduler.adapters.addresses import is_address, is_loopback
from scheduler.adapters.gpu.host_power import HostPowerAway
from scheduler.adapters.gpu.intervals import WALL
from scheduler.core.accounting.gpu_energy import LONGEST_S, Piece
from scheduler.domain.errors import Misconfigured

CHASSIS = "/redfish/v1/Chassis"
TIMEOUT_S = 3.0
MAX_BYTES = 1 << 20
MAX_MEMBERS = 64
# No node takes more; what is above is a fault of the meter.
MAX_W = 100_000.0
NAME_ONE = "in --redfish-url the path of the one that counts, such as /redfish/v1/Chassis/1/Power"


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """Whom to ask: its address, with the path of one resource or without; `user:password` in a file, read at every look.

    ca_file: certificates that are believed; None: those of the system.
    """

    url: str
    credentials_file: Path | None = None
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """A resource, and how it tells watts."""

    path: str
    kind: str


SUPPLY, SUPPLIES, CONTROL, ENVIRONMENT = "supply", "supplies", "control", "environment"


class Redfish:
    """Asks one controller; the name of its pieces is that of the wall."""

    name = WALL

    def __init__(self, controller: Controller) -> None:
        """Prepare to ask.

        Raises:
            Misconfigured: when the address is none, or the password would go over the network in clear.
            OSError: when the certificates cannot be read.
        """
        where = f"--redfish-url {controller.url}"
        if not is_address(controller.url) or urlsplit(controller.url).username:
            raise Misconfigured("no address", where=where, expected="https://HOST, with the path of a resource or without")
        parts = urlsplit(controller.url)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise Misconfigured("anybody on the way could read the password", where=where, expected="https")
        self._controller, self._start = controller, parts.path.rstrip("/")
        verify = True if controller.ca_file is None else _trusting(controller.ca_file)
        self._client = httpx.Client(
            base_url=f"{parts.scheme}://{parts.netloc}",
            timeout=TIMEOUT_S,
            verify=verify,
            trust_env=False,
            follow_redirects=False,
        )
        self._places: tuple[_Place, ...] = ()
        self._last: tuple[float, float] | None = None

    def look(self, at_s: float) -> Piece | None:
        """Energy since the last look by the mean of both powers; None for the first one, and after a gap.

        Raises:
            HostPowerAway: when no power is told.
        """
        try:
            watts = self.watts()
        except HostPowerAway:
            # What is asked for may have another place after an update of the controller.
            self._places, self._last = (), None
            raise
        last, self._last = self._last, (at_s, watts)
        if last is None or not 0.0 < at_s - last[0] <= LONGEST_S:
            return None
        return Piece(uuid=self.name, start_s=last[0], end_s=at_s, joules=0.5 * (last[1] + watts) * (at_s - last[0]))

    def watts(self) -> float:
        """Power now.

        Raises:
            HostPowerAway: when it is not told.
        """
        if not self._places:
            self._places = self._found()
        total_w = 0.0
        for place in self._places:
            told = _watts(self._get(place.path), place.kind)
            if told is None:
                raise HostPowerAway(f"{place.path}: it tells no power", NAME_ONE)
            total_w += told
        if not 0.0 <= total_w <= MAX_W:
            raise HostPowerAway(f"{total_w:.0f} W cannot be", f"at most {MAX_W:.0f} W")
        return total_w

    # Where it stands.

    def _found(self) -> tuple[_Place, ...]:
        """Resources that together tell the power of the machine."""
        start = self._start if self._start.removesuffix("/redfish/v1").strip("/") else CHASSIS
        first = self._get(start)
        if "Members" not in first:
            direct = self._in_resource(start, first) or self._in_chassis(first)
            if direct:
                return direct
            raise HostPowerAway(f"{start}: it tells no power", NAME_ONE)
        found = [places for path in _links(first.get("Members")) if (places := self._in_chassis(self._get(path)))]
        supplies = [places for places in found if places[0].kind in (SUPPLY, SUPPLIES)]
        if supplies:
            return tuple(dict.fromkeys(place for places in supplies for place in places))
        if len(found) == 1:
            return found[0]
        many = "several chassis tell of power, and none of its supplies" if found else "no chassis tells of power"
        raise HostPowerAway(f"{start}: {many}", NAME_ONE)

    def _in_chassis(self, chassis: Mapping[str, Any]) -> tuple[_Place, ...]:
        """Where a chassis tells of its power, the best first."""
        best: tuple[_Place, ...] = ()
        for link in ("PowerSubsystem", "Power", "EnvironmentMetrics"):
            for path in _links([chassis.get(link)]):
                places = self._in_resource(path, self._get(path))
                if places and places[0].kind in (SUPPLY, SUPPLIES):
                    return places
                best = best or places
        return best

    def _in_resource(self, path: str, said: Mapping[str, Any]) -> tuple[_Place, ...]:
        """How one resource tells of power; nothing when it does not."""
        supplies = said.get("PowerSupplies")
        if isinstance(supplies, dict):
            return self._in_supplies(supplies)
        kinds = (SUPPLIES, CONTROL, ENVIRONMENT)
        return next(((_Place(path, kind),) for kind in kinds if _watts(said, kind) is not None), ())

    def _in_supplies(self, collection: Mapping[str, Any]) -> tuple[_Place, ...]:
        """Each supply's own metrics; nothing when one that is there has none."""
        found = []
        for path in (path for link in _links([collection]) for path in _links(self._get(link).get("Members"))):
            supply = self._get(path)
            if _absent(supply):
                continue
            metrics = _links([supply.get("Metrics")])
            if not metrics or _watts(self._get(metrics[0]), SUPPLY) is None:
                return ()
            found.append(_Place(metrics[0], SUPPLY))
        return tuple(found)

    # Asking.

    def _get(self, path: str) -> Mapping[str, Any]:
        """One resource.

        Raises:
            HostPowerAway: when it cannot be had.
        """
        try:
            with self._client.stream("GET", path, headers=self._headers()) as response:
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > MAX_BYTES:
                        raise HostPowerAway(f"{path}: longer than {MAX_BYTES} bytes")
                if response.status_code in (401, 403):
                    raise HostPowerAway(f"{path}: HTTP {response.status_code}", "user:password in --redfish-credentials")
                if response.status_code != 200:
                    raise HostPowerAway(f"{path}: HTTP {response.status_code}", NAME_ONE)
            said = json.loads(body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise HostPowerAway(f"{path}: {str(error).partition(chr(10))[0] or type(error).__name__}") from error
        except ValueError as error:
            raise HostPowerAway(f"{path}: the answer is no JSON") from error
        if not isinstance(said, dict):
            raise HostPowerAway(f"{path}: the answer is no object")
        return said

    def _headers(self) -> dict[str, str]:
        """Who we are."""
        file = self._controller.credentials_file
        if file is None:
            return {"Accept": "application/json"}
        try:
            told = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise HostPowerAway(f"{file}: it cannot be read", "user:password in it") from error
        return {"Accept": "application/json", "Authorization": f"Basic {base64.b64encode(told.encode()).decode()}"}


def _trusting(ca_file: Path) -> ssl.SSLContext:
    """Trust in these certificates."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        # What the library raises names no file.
        raise OSError(error.errno, error.strerror or str(error), str(ca_file)) from error


def _watts(said: Mapping[str, Any], kind: str) -> float | None:
    """What a resource tells in W; None when it tells none, or one supply of it does not."""
    if kind == SUPPLY:
        return _reading(said.get("InputPowerWatts"))
    if kind == ENVIRONMENT:
        return _reading(said.get("PowerWatts"))
    if kind == CONTROL:
        controls = said.get("PowerControl")
        first = controls[0] if isinstance(controls, list) and controls else None
        return _number(first.get("PowerConsumedWatts")) if isinstance(first, dict) else None
    supplies = said.get("PowerSupplies")
    there = [one for one in supplies if isinstance(one, dict) and not _absent(one)] if isinstance(supplies, list) else []
    told = [_number(one.get("PowerInputWatts")) for one in there]
    known = [watts for watts in told if watts is not None]
    return sum(known) if known and len(known) == len(told) else None


def _absent(supply: Mapping[str, Any]) -> bool:
    """Whether a bay is empty."""
    status = supply.get("Status")
    return isinstance(status, dict) and status.get("State") == "Absent"


def _reading(sensor: object) -> float | None:
    """The value of a sensor's excerpt."""
    return _number(sensor.get("Reading")) if isinstance(sensor, dict) else None


def _number(value: object) -> float | None:
    """A number that can be one of watts."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0.0
    return float(value) if good else None  # type: ignore[arg-type]  # `good` says that it is a number


def _links(members: object) -> list[str]:
    """Paths of other resources; never those of another host, where the password must not go."""
    listed: Iterable[object] = members if isinstance(members, list) else ()
    paths = [one.get("@odata.id") for one in listed if isinstance(one, dict)]
    return [path for path in paths if isinstance(path, str) and path.startswith("/") and not path.startswith("//")][
        :MAX_MEMBERS
    ]
