"""Whether an installation answers, as `helm test` asks: every operator's pod is well, and one of them leads.

    python3 -P -m scheduler.entrypoints.installed --namespace NAMESPACE --selector LABELS --port 8080

It may list the pods of one namespace and nothing else. What a pod answers is asked at its own address, over and over until all
is well or the time is over; exit code 1 then, with what was not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from scheduler.adapters.kubernetes.runtime.badge import LABEL
from scheduler.adapters.kubernetes.runtime.client import KubeClient, Selection
from scheduler.adapters.kubernetes.runtime.connection import Connection, configuration
from scheduler.adapters.kubernetes.runtime.kinds import PODS

PATHS = ("/livez", "/readyz")
ASK_S, EVERY_S = 5.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which pods, how many at least, and the ports at which each is asked: the operator's, and the plant link's."""

    namespace: str
    selector: str
    pods: int
    ports: tuple[int, ...]


def troubles(wanted: Wanted, pods: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is not well, in words; empty when all is."""
    alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    found = [f"{len(alive)} pods of {wanted.selector}, expected {wanted.pods}"] if len(alive) < wanted.pods else []
    if not any(pod["metadata"].get("labels", {}).get(LABEL) == "true" for pod in alive):
        found.append("no pod leads")
    for pod in alive:
        found += _of_pod(pod, wanted.ports)
    return found


def _of_pod(pod: Mapping[str, Any], ports: Sequence[int]) -> list[str]:
    name, address = pod["metadata"]["name"], pod.get("status", {}).get("podIP", "")
    if not address:
        return [f"{name} has no address yet"]
    host = f"[{address}]" if ":" in address else address
    return [f"{name}{trouble}" for port in ports for path in PATHS if (trouble := _of_page(host, port, path))]


def _of_page(host: str, port: int, path: str) -> str:
    try:
        answer = httpx.get(f"http://{host}:{port}{path}", timeout=ASK_S, trust_env=False)
    except httpx.HTTPError as error:
        return f":{port}{path}: {error}"
    return "" if answer.is_success else f":{port}{path}: {answer.status_code} {answer.text[:200].strip()}"


def main(arguments: Sequence[str]) -> int:
    """Ask until all is well; the exit code."""
    parser = argparse.ArgumentParser(prog="installed", description="Whether an installation of heat-dispatch answers.")
    parser.add_argument("--namespace", required=True, help="where its operator is")
    parser.add_argument("--selector", required=True, help="labels of the operator's pods")
    parser.add_argument("--pods", type=int, default=1, help="how many there are at least [1]")
    parser.add_argument(
        "--port", type=int, action="append", required=True, help="where a pod is asked; more than once for more"
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="for so long [120]")
    given = parser.parse_args(arguments)
    wanted = Wanted(namespace=given.namespace, selector=given.selector, pods=given.pods, ports=tuple(given.port))
    client = KubeClient(Connection(configuration()))
    until_s = time.monotonic() + given.seconds
    while left := troubles(wanted, client.list(PODS, Selection(namespace=wanted.namespace, labels=wanted.selector))):
        if time.monotonic() > until_s:
            print("\n".join(left), file=sys.stderr)
            return 1
        time.sleep(EVERY_S)
    print("every pod is well, and one leads")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
