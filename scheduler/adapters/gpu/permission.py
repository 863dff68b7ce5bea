"""Whether this process may set limits of GPUs."""

from __future__ import annotations

from pathlib import Path

CAP_SYS_ADMIN = 1 << 21
STATUS = Path("/proc/self/status")


def may_set(status: Path = STATUS) -> bool:
    """Whether it has CAP_SYS_ADMIN, which the driver wants of whoever sets a limit."""
    try:
        lines = status.read_text("utf-8").splitlines()
    except OSError:
        return False
    found = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(found, 16) & CAP_SYS_ADMIN)
