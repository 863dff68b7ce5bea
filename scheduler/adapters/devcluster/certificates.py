"""Certificates and keys of a control plane, by the `openssl` command."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scheduler.domain.errors import Misconfigured, Permanent

DAYS = "3650"
AUTHORITY_USE = "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom a certificate names, and what for: servers by address, clients by organisation (their group)."""

    name: str
    alternatives: Sequence[str]
    organisation: str = ""
    client: bool = False

    def distinguished(self) -> str:
        """As openssl writes a subject."""
        return (f"/O={self.organisation}" if self.organisation else "") + f"/CN={self.name}"

    def extensions(self) -> str:
        """What the certificate may be used for."""
        return "\n".join(
            (
                f"subjectAltName={','.join(self.alternatives)}",
                "basicConstraints=critical,CA:FALSE",
                "keyUsage=critical,digitalSignature,keyEncipherment",
                f"extendedKeyUsage={'clientAuth' if self.client else 'serverAuth'}",
            )
        )


def openssl(folder: Path, *arguments: str) -> None:
    """Run openssl in a folder.

    Raises:
        Misconfigured: when there is none.
        Permanent: when it fails, with what it said.
    """
    if shutil.which("openssl") is None:
        raise Misconfigured("no openssl to make certificates with", expected="the openssl command on the PATH")
    result = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        raise Permanent(f"openssl {arguments[0]} failed: {result.stderr.strip()[-500:]}")


def make_authority(folder: Path, stem: str, name: str, *, rsa: bool = False) -> None:
    """A certificate authority `stem.crt`, `stem.key`; with `rsa` its key is RSA in PKCS#1, which Kueue insists on."""
    if rsa:
        openssl(folder, "genrsa", "-traditional", "-out", f"{stem}.key", "2048")
    else:
        openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{stem}.key")
    extensions = ("basicConstraints=critical,CA:TRUE", f"subjectAltName=DNS:{name}", AUTHORITY_USE)
    given = [part for extension in extensions for part in ("-addext", extension)]
    issue = ("req", "-x509", "-new", "-key", f"{stem}.key", "-sha256", "-days", DAYS, "-subj", f"/O={name}/CN={name}")
    openssl(folder, *issue, "-out", f"{stem}.crt", *given)


def make_certificate(folder: Path, stem: str, authority: str, subject: Subject) -> None:
    """A certificate `stem.crt`, `stem.key` signed by an authority."""
    (folder / f"{stem}.ext").write_text(subject.extensions() + "\n", encoding="utf-8")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{stem}.key")
    openssl(folder, "req", *key, "-subj", subject.distinguished(), "-out", f"{stem}.csr")
    signer = ("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", DAYS, "-sha256")
    openssl(folder, "x509", "-req", "-in", f"{stem}.csr", *signer, "-extfile", f"{stem}.ext", "-out", f"{stem}.crt")


def make_signing_key(folder: Path, stem: str) -> None:
    """A pair `stem.key`, `stem.pub` that signs and verifies service account tokens."""
    openssl(folder, "genrsa", "-out", f"{stem}.key", "2048")
    openssl(folder, "rsa", "-in", f"{stem}.key", "-pubout", "-out", f"{stem}.pub")


def make_all(folder: Path) -> None:
    """What an API server needs: an authority, its own certificate, one as a client of kubelets, a signing key."""
    make_authority(folder, "ca", "heat-dispatch-devcluster")
    names = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
    served = ("IP:127.0.0.1", "IP:10.0.0.1", *(f"DNS:{name}" for name in names))
    make_certificate(folder, "apiserver", "ca", Subject(name="kube-apiserver", alternatives=served))
    client = Subject(name="kubelet-client", alternatives=("DNS:apiserver",), organisation="system:masters", client=True)
    make_certificate(folder, "kubelet-client", "ca", client)
    make_signing_key(folder, "sa")
