"""Manifests whose sources ask one stand-in for several providers, and the credentials of those that need some."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from signal_peer import Routes

FIELDS = {"price": "price", "carbon": "carbon", "outdoor": "weather", "heat_demand": "heatDemand"}
SECRET = "heat-dispatch-signals"


def page(name: str) -> Any:
    """The stand-in's side of a provider."""
    return importlib.import_module(f"signal_pages.{name}")


def routes_of(names: Sequence[str], now_utc: datetime) -> Routes:
    """The pages of several providers on one server."""
    return {path: route for name in names for path, route in page(name).routes(now_utc).items()}


def source(name: str, quantity: str, url: str, **more: Any) -> dict[str, Any]:
    """A source of a policy that asks the stand-in at `url`."""
    own = page(name)
    secret = {"secretRef": {"name": SECRET}} if own.CREDENTIALS else {}
    return {"provider": name, "options": {**own.OPTIONS[quantity], "url": url}, **secret, **more}


def fixed(value: float) -> dict[str, Any]:
    """The last link of a chain."""
    return {"provider": "fixed", "options": {"value": f"{value:g}"}}


def policy(sources: Mapping[str, Sequence[Mapping[str, Any]]], name: str = "signals") -> dict[str, Any]:
    """A policy with chains by field."""
    spec = {"mode": "Observe", "sources": {field: list(chain) for field, chain in sources.items()}}
    return {"apiVersion": "heatdispatch.io/v1alpha1", "kind": "DispatchPolicy", "metadata": {"name": name}, "spec": spec}


def written(folder: Path, *objects: Mapping[str, Any]) -> Path:
    """A folder of manifests."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.yaml").write_text("---\n".join(yaml.safe_dump(dict(obj), sort_keys=False) for obj in objects), "utf-8")
    return folder


def secrets(folder: Path, *names: str) -> Path:
    """A folder with the credentials of some providers in one secret."""
    place = folder / SECRET
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        for key, text in page(name).CREDENTIALS.items():
            (place / key).write_text(f"{text}\n", "utf-8")
    return folder
