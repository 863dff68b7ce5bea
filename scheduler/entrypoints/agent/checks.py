"""What of an agent's options cannot work, or would tell too much: said in one line, before anything is begun."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from scheduler.adapters.addresses import is_address
from scheduler.entrypoints.agent.setup import Setup

LOOPBACK = ("127.0.0.1", "::1", "localhost")
WISHES_NONE, WISHES_API = "none", "api"
# As the API server has them (RFC 1123): what is no name would ask for another path.
NODE = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

Fault = tuple[str, str]
"""What is wrong, and what is expected in its place."""


def faults(setup: Setup) -> Iterator[Fault]:
    """All that is wrong, the gravest first."""
    yield from _parts(setup)
    yield from _wishes(setup)
    yield from _files(setup)


def _parts(setup: Setup) -> Iterator[Fault]:
    """Options that need another one."""
    if setup.host not in LOOPBACK and not setup.token_file:
        yield f"--host {setup.host}: others could read what jobs draw", "--token-file FILE"
    if setup.setter and setup.wishes == WISHES_NONE:
        yield "--setter: without wishes there is nothing to ask for", "--wishes api, or a file"
    if setup.setter and setup.wishes == WISHES_API and not setup.pod_resources:
        yield "--setter: no GPU is capped while it is not known which pod holds it", "--pod-resources DIR"
    if setup.tls_key and not setup.tls_certificate:
        yield "--tls-key: a key without its certificate", "--tls-certificate FILE"
    for option, value in (("--api-token", setup.api.token_file), ("--api-ca", setup.api.ca_file)):
        if value and not setup.api.url:
            yield f"{option}: nobody is asked with it", "--api-server URL"
    for option, value in (("--redfish-credentials", setup.power.redfish_credentials), ("--redfish-ca", setup.power.redfish_ca)):
        if value and not setup.power.redfish_url:
            yield f"{option}: nobody is asked with it", "--redfish-url URL"


def _wishes(setup: Setup) -> Iterator[Fault]:
    """Where wishes come from."""
    if setup.api.url and not is_address(setup.api.url):
        yield f"--api-server {setup.api.url}: no address", "https://HOST[:PORT]"
    if setup.wishes == WISHES_API:
        if not NODE.fullmatch(setup.node):
            yield f"--node {setup.node}: no node's name", "lower-case letters, digits, `-` and `.`"
        if not NAMESPACE.fullmatch(setup.lease_namespace):
            yield f"--lease-namespace {setup.lease_namespace}: no namespace's name", "lower-case letters, digits, `-`"
    elif not setup.wishes or Path(setup.wishes).is_dir():
        yield f"--wishes {setup.wishes}: no file", "api, a JSON file, or none"


def _files(setup: Setup) -> Iterator[Fault]:
    """Files that are read again and again: one that is not there at first is a slip of the pen."""
    named = {
        "--token-file": setup.token_file,
        "--api-token": setup.api.token_file,
        "--api-ca": setup.api.ca_file,
        "--redfish-credentials": setup.power.redfish_credentials,
        "--redfish-ca": setup.power.redfish_ca,
    }
    for option, path in named.items():
        try:
            if path:
                Path(path).open("rb").close()
        except OSError as error:
            yield f"{option} {path}: {error.strerror}", "a file that can be read"
