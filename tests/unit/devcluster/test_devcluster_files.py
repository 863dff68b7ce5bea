"""What is written for a cluster and read from it: certificates, stages, Kueue's objects, the audit log."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

from scheduler.adapters.devcluster import audit
from scheduler.adapters.devcluster.arguments import AUDIT_POLICY
from scheduler.adapters.devcluster.certificates import make_all, make_authority, openssl
from scheduler.adapters.devcluster.kueue import converted, pointed_here
from scheduler.adapters.devcluster.kwok import node
from scheduler.adapters.devcluster.manifests import prompt
from scheduler.domain.errors import Permanent


def served_name(folder: Path, name: str) -> dict[str, Any]:
    """The certificate that a client sees which trusts the authority and asks for a name."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "apiserver.crt", folder / "apiserver.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, server.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        client = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        with (
            socket.create_connection(listener.getsockname()) as connection,
            client.wrap_socket(connection, server_hostname=name) as secured,
        ):
            found = secured.getpeercert()
            secured.send(b"x")
        thread.join(10)
    assert found is not None
    return dict(found)


def test_certificates_hold_for_loopback_and_for_pods(tmp_path: Path) -> None:
    make_all(tmp_path)
    for name in ("127.0.0.1", "kubernetes.default.svc"):
        assert served_name(tmp_path, name)["issuer"]
    assert (tmp_path / "sa.pub").read_text("utf-8").startswith("-----BEGIN PUBLIC KEY")
    make_authority(tmp_path, "rsa", "kueue-ca", rsa=True)
    assert (tmp_path / "rsa.key").read_text("utf-8").startswith("-----BEGIN RSA PRIVATE KEY")


def test_openssl_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="openssl x509 failed: .*nowhere"):
        openssl(tmp_path, "x509", "-in", "nowhere.crt")


def test_pods_do_not_wait_unless_asked() -> None:
    asked = {"expressionFrom": "an annotation"}
    pod = {
        "spec": {
            "resourceRef": {"kind": "Pod"},
            "delay": {
                "durationMilliseconds": 1000,
                "jitterDurationMilliseconds": 5000,
                "durationFrom": asked,
            },
        }
    }
    lease = {"spec": {"resourceRef": {"kind": "Node"}, "delay": {"durationMilliseconds": 600000}}}
    changed, kept = prompt([pod, lease])
    assert changed["spec"]["delay"] == {"durationMilliseconds": 0, "durationFrom": asked}
    assert kept == lease


def test_kueue_is_pointed_at_this_machine() -> None:
    def hook(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "clientConfig": {"service": {"name": "webhook-service", "namespace": "system", "path": f"/{name}"}},
        }

    configuration = {
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "mutating-webhook-configuration"},
        "webhooks": [hook("mjob.kb.io"), hook("mpytorchjob.kb.io")],
    }
    wanted = pointed_here(configuration, "trust", 4711)
    assert wanted["metadata"]["name"] == "kueue-mutating-webhook-configuration"
    (only,) = wanted["webhooks"]
    assert only["clientConfig"] == {
        "caBundle": "trust",
        "service": {"name": "kueue-webhook-service", "namespace": "kueue-system", "port": 4711, "path": "/mjob.kb.io"},
    }
    plain = {"spec": {"names": {"plural": "resourceflavors"}}}
    assert converted(plain, "trust", 4711) == plain
    two_versions = converted({"spec": {"names": {"plural": "workloads"}}}, "trust", 4711)
    assert two_versions["spec"]["conversion"]["webhook"]["clientConfig"]["service"]["path"] == "/convert"


def test_a_node_has_what_its_gpus_need() -> None:
    with_gpus = node("gpu-0", 8, {"zone": "a"})
    assert with_gpus["status"]["capacity"] == {"cpu": "128", "memory": "1024Gi", "pods": "110", "nvidia.com/gpu": "8"}
    assert with_gpus["metadata"]["labels"] == {"kubernetes.io/hostname": "gpu-0", "zone": "a"}
    assert "nvidia.com/gpu" not in node("cpu-0", 0, {})["status"]["capacity"]


def line(verb: str, **more: Any) -> str:
    """A line of an audit log."""
    record = {
        "stage": "ResponseComplete",
        "verb": verb,
        "stageTimestamp": "2026-11-21T14:00:00.123456Z",
        "requestURI": "/apis/batch/v1/namespaces/default/jobs",
        "user": {"username": "admin"},
        "objectRef": {"resource": "jobs", "namespace": "default", "apiGroup": "batch"},
        "responseStatus": {"code": 201},
    }
    return json.dumps({**record, **more}) + "\n"


def test_the_audit_log_is_read_from_any_place(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    assert audit.end(path) == 0
    path.write_text(line("list"), encoding="utf-8")
    start = audit.end(path)
    target = {"resource": "jobs", "namespace": "default", "name": "train", "subresource": "status"}
    with path.open("a", encoding="utf-8") as log:
        log.write(line("create", requestObject={"metadata": {"generateName": "train-"}}))
        log.write(line("create", requestURI="/apis/batch/v1/namespaces/default/jobs?dryRun=All"))
        log.write(line("patch", objectRef=target, responseStatus={"code": 409}))
        log.write(line("patch", stage="RequestReceived"))
        log.write(line("delete")[:40])
    found = list(audit.events(path, start))
    assert [(one.what, one.writes, one.accepted) for one in found] == [
        ("create jobs default/train-", True, True),
        ("create jobs default/", False, True),
        ("patch jobs/status default/train", True, False),
    ]
    assert found[0].at_utc.isoformat() == "2026-11-21T14:00:00.123456+00:00"
    assert [one.verb for one in audit.events(path)] == ["list", "create", "create", "patch"]


def test_bodies_of_secrets_are_never_asked_for() -> None:
    first = next(
        rule for rule in AUDIT_POLICY["rules"] if any("secrets" in one["resources"] for one in rule.get("resources", []))
    )
    assert first == AUDIT_POLICY["rules"][0]
    assert first["level"] == "Metadata"
