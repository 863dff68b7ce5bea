"""The operator as a process that looks up more often than one at work, so that tests need not wait for minutes.

    python operator_process.py KUBECONFIG IDENTITY LEDGER

Its watches end after seconds, so that one that fell silent is told from one that is quiet in seconds too, and its guard reads
changed policies every few seconds. Everything else is as `heat-dispatch operator` has it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scheduler.adapters.kubernetes.runtime.reflector import ReflectorOptions
from scheduler.adapters.logs import configure
from scheduler.entrypoints.operator.options import Options
from scheduler.entrypoints.operator.run import Operator

WATCH_S = 5.0
SILENCE_S = 8.0
GUARD_S = 3.0


def main() -> None:
    """Run until SIGTERM."""
    kubeconfig, identity, ledger = sys.argv[1:]
    configure(as_json=False)
    options = Options(
        kubeconfig=Path(kubeconfig),
        identity=identity,
        host="127.0.0.1",
        port=0,
        ledger=ledger,
        guard_s=GUARD_S,
        reflector=ReflectorOptions(watch_s=WATCH_S, silence_s=SILENCE_S),
    )
    Operator(options).run()


if __name__ == "__main__":
    main()
