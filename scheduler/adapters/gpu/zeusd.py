"""Limits set by `zeusd`, the daemon of the Zeus project, where it is the one process of a node that may: we read, it writes.

    GET  /discover                         {"gpus": [{"id": 0, "name": "..."}], "enabled_api_groups": ["gpu-control", ...]}
    GET  /gpu/get_power_limit?gpu_ids=0    {"0": {LIMIT_IN_MILLIWATT: 700000}}, a limit in milliwatt
    POST /gpu/set_power_limit?gpu_ids=0&LIMIT_IN_MILLIWATT=500000&block=true
         200; else the worst status of all devices, and {"errors": {"0": "NVML error: ..."}}

zeusd knows GPUs by index, a lease knows them by uuid, and indices are those of whoever counts. So nothing is written to a GPU
whose limit zeusd reads otherwise than the driver does here, and what landed on another GPU is taken back at once. It has no
leases: they, and the journal, stay with us; while zeusd is away nothing can be given back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from scheduler.adapters.gpu.nvml import NoDriver
from scheduler.adapters.gpu.setting import NotSet, SettableGpu, SettableGpus
from scheduler.core.capping.held import SAME_LIMIT_W, Facts
from scheduler.units import milliwatt_from_w, w_from_milliwatt

# zeusd's names of what we need of it.
GROUPS = frozenset({"gpu-control", "gpu-read"})
# The name is zeusd's own and goes over its wire as it is; what stands under it is milliwatt, never megawatt.
LIMIT_IN_MILLIWATT = "power_limit_mw"
TIMEOUT_S = 5.0
UNIX = "unix:"
MEANINGS = {
    401: "the token is missing, wrong or has expired",
    403: "zeusd may not set limits, or the token lacks the scope gpu-control",
    404: "the API groups gpu-control and gpu-read are not both enabled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Zeusd:
    """Where it listens: `unix:/run/zeusd/zeusd.sock` or `http://127.0.0.1:4938`; token_file holds its JWT, read every time."""

    address: str
    token_file: Path | None = None


class ZeusdSettables:
    """The GPUs of a machine, read here and set by zeusd."""

    def __init__(self, zeusd: Zeusd, read: SettableGpus) -> None:
        """Not started; `read` is how GPUs are looked at."""
        self._read, self._wire = read, _Wire(zeusd)

    def start(self) -> int:
        """Find the GPUs, and whether zeusd sees the same.

        Raises:
            NoDriver, WrongDriver: when there is no driver, or no such zeusd.
        """
        count = self._read.start()
        try:
            seen = self._wire.gpus()
        except NotSet as error:
            self._read.close()
            raise NoDriver(str(error), f"zeusd at {self._wire.address}") from error
        if seen != count:
            self._read.close()
            raise NoDriver(f"zeusd sees {seen} GPUs, the driver here {count}", "one view of the machine's GPUs for both")
        return count

    def open(self, index: int) -> ZeusdSettable:
        """One GPU.

        Raises:
            Lost, NoDriver: when the GPU, or the driver, is gone.
        """
        return ZeusdSettable(self._read.open(index), index, self._wire)

    def alive(self) -> bool:
        """Whether the driver answers at all."""
        return self._read.alive()

    def close(self) -> None:
        """Give the library back, and hang up."""
        self._read.close()
        self._wire.close()


class ZeusdSettable:
    """One GPU."""

    def __init__(self, gpu: SettableGpu, index: int, wire: _Wire) -> None:
        """Look at `gpu`; `index` is zeusd's name of it."""
        self._gpu, self._index, self._wire = gpu, index, wire

    @property
    def uuid(self) -> str:
        """Its name for good."""
        return self._gpu.uuid

    def look(self) -> Facts | str:
        """How it stands now.

        Raises:
            NoDriver: when the driver is gone.
        """
        return self._gpu.look()

    def set_limit(self, limit_w: float) -> None:
        """Have this limit set.

        Raises:
            NotSet: when zeusd does not answer or refuses, or means another GPU. NoDriver: when the driver is gone.
        """
        before_w, theirs_w = self._requested_w(), self._wire.limit_w(self._index)
        if not _same(before_w, theirs_w):
            raise NotSet(
                f"zeusd reads {theirs_w:g} W of its GPU {self._index}, the driver here {before_w:g} W: not the same GPU?"
            )
        self._wire.set_limit(self._index, limit_w)
        if _same(self._requested_w(), limit_w) or not _same(self._wire.limit_w(self._index), limit_w):
            return
        self._wire.set_limit(self._index, theirs_w)
        raise NotSet(f"zeusd's GPU {self._index} is another one than {self.uuid}; its limit was put back")

    def _requested_w(self) -> float:
        """The limit as the driver here has it."""
        seen = self._gpu.look()
        if isinstance(seen, str) or seen.requested_w is None:
            raise NotSet(seen if isinstance(seen, str) else "it does not say its limit")
        return seen.requested_w


class _Wire:
    """What is said to zeusd; for any thread."""

    def __init__(self, zeusd: Zeusd) -> None:
        self.address = zeusd.address
        self._token_file = zeusd.token_file
        self._client: httpx.Client | None = None

    def gpus(self) -> int:
        """How many GPUs it has; older ones tell a list of their numbers."""
        said = self._call("GET", "/discover")
        missing = GROUPS - set(said.get("enabled_api_groups") or GROUPS)
        if missing:
            raise NotSet(f"zeusd does not offer {' and '.join(sorted(missing))}")
        found = said.get("gpus", said.get("gpu_ids"))
        if not isinstance(found, list):
            raise NotSet("zeusd does not tell its GPUs")
        return len(found)

    def limit_w(self, index: int) -> float:
        """The limit of one GPU."""
        said = self._call("GET", "/gpu/get_power_limit", {"gpu_ids": str(index)})
        try:
            return w_from_milliwatt(float(said[str(index)][LIMIT_IN_MILLIWATT]))
        except (KeyError, TypeError, ValueError) as error:
            raise NotSet(f"zeusd does not tell the limit of its GPU {index}") from error

    def set_limit(self, index: int, limit_w: float) -> None:
        """Set the limit of one GPU, and wait until it was tried."""
        milliwatt = str(milliwatt_from_w(limit_w))
        self._call("POST", "/gpu/set_power_limit", {"gpu_ids": str(index), LIMIT_IN_MILLIWATT: milliwatt, "block": "true"})

    def close(self) -> None:
        """Hang up; the next call dials again."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _call(self, method: str, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """One answer.

        Raises:
            NotSet: when there is none, or it is an error.
        """
        try:
            token = None if self._token_file is None else self._token_file.read_text("utf-8").strip()
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            response = self._dialled().request(method, path, params=query, headers=headers)
        except (OSError, ValueError) as error:
            raise NotSet(f"{self._token_file}: {getattr(error, 'strerror', '') or 'no token'}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotSet(f"zeusd does not answer at {self.address}: {error or type(error).__name__}") from error
        said = _object(response)
        if response.status_code != httpx.codes.OK:
            meaning = MEANINGS.get(response.status_code, "")
            raise NotSet("; ".join(part for part in (f"zeusd: HTTP {response.status_code}", meaning, _errors(said)) if part))
        return said

    def _dialled(self) -> httpx.Client:
        """A client that stays open."""
        if self._client is None:
            if self.address.startswith(UNIX):
                transport = httpx.HTTPTransport(uds=self.address.removeprefix(UNIX))
                self._client = httpx.Client(transport=transport, base_url="http://zeusd", timeout=TIMEOUT_S)
            else:
                self._client = httpx.Client(base_url=self.address, timeout=TIMEOUT_S, trust_env=False)
        return self._client


def _object(response: httpx.Response) -> dict[str, Any]:
    """The object in an answer; empty when there is none."""
    try:
        said = response.json()
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _errors(said: dict[str, Any]) -> str:
    """What went wrong with the device, in a line."""
    errors = said.get("errors")
    told = list(errors.values()) if isinstance(errors, dict) else [said.get("error") or ""]
    return " ".join(str(one) for one in told).partition("\n")[0][:200]


def _same(one_w: float, other_w: float) -> bool:
    """Whether two limits are one."""
    return abs(one_w - other_w) <= SAME_LIMIT_W
