"""An operator with short times, for the small mode: `python -m benchmarks.operator.hurried KUBECONFIG IDENTITY LEDGER`.

The same Operator, but for a lease of eight seconds and a guard that ticks every second: what is measured with it says that
everything works, not how fast.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scheduler.adapters.kubernetes.runtime.lease import LeaseTimes
from scheduler.adapters.logs import configure
from scheduler.entrypoints.operator.options import Options
from scheduler.entrypoints.operator.run import Operator

# A write needs six seconds of the lease: the longest that a request may take.
LEASE = LeaseTimes(lease_s=8, renew_every_s=0.5, retry_s=0.2, renew_deadline_s=6.0)
GUARD_S = 1.0


def main() -> None:
    """Run until SIGTERM."""
    kubeconfig, identity, ledger = sys.argv[1:]
    configure(as_json=True)
    options = Options(
        kubeconfig=Path(kubeconfig),
        identity=identity,
        ledger=ledger,
        host="127.0.0.1",
        port=0,
        lease=LEASE,
        guard_s=GUARD_S,
    )
    Operator(options).run()


if __name__ == "__main__":
    main()
