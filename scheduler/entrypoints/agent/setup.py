"""How an agent is set up: what the command has checked and passes on, as one line of JSON, to the process that stays."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The API server, for a process that is in no pod; empty: the access that every pod has."""

    url: str = ""
    token_file: str = ""
    ca_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What tells of the host's power: a management controller, a tree of RAPL counters, the (base, factor) of a model."""

    redfish_url: str = ""
    redfish_credentials: str = ""
    redfish_ca: str = ""
    rapl: str = ""
    model: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Paths as text, empty for none. wishes: `none`, `api` or a file. backend: whose GPUs are read."""

    node: str
    host: str
    port: int
    token_file: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    wishes: str = "none"
    setter: str = ""
    pod_resources: str = ""
    gpu_resources: tuple[str, ...] = ()
    lease_namespace: str = ""
    log_json: bool = False
    backend: str = "nvml"
    api: Api = Api()
    power: Host = Host()


def setup_text(setup: Setup) -> str:
    """As one line."""
    return json.dumps(asdict(setup))


def setup_of(text: str) -> Setup:
    """From that line; who wrote it has checked it."""
    told = json.loads(text)
    api, power, resources = told.pop("api"), told.pop("power"), told.pop("gpu_resources")
    model = power.pop("model")
    host = Host(**power, model=None if model is None else (model[0], model[1]))
    return Setup(**told, api=Api(**api), power=host, gpu_resources=tuple(resources))
