"""The operator as a process that looks up every few seconds, with agents and sources of this machine.

    python monitored_operator.py OPTIONS

OPTIONS is JSON: kubeconfig, identity, ledger, namespace, lease_namespace, agents (NODE=URL each), agents_token. Everything that
is not named is as `heat-dispatch operator` has it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from scheduler.adapters.kubernetes.runtime.reflector import ReflectorOptions
from scheduler.adapters.logs import configure
from scheduler.adapters.telemetry.asking import Trust
from scheduler.entrypoints.operator.agents import AgentOptions, named_targets
from scheduler.entrypoints.operator.options import Options
from scheduler.entrypoints.operator.run import Operator
from scheduler.entrypoints.operator.signals import SignalOptions

GUARD_S = 2.0


def main() -> None:
    """Run until SIGTERM."""
    asked = json.loads(sys.argv[1])
    configure(as_json=False)
    agents = AgentOptions(named=named_targets(asked["agents"]), trust=Trust(token_file=Path(asked["agents_token"])))
    options = Options(
        kubeconfig=Path(asked["kubeconfig"]),
        identity=asked["identity"],
        host="127.0.0.1",
        port=0,
        ledger=asked["ledger"],
        namespace=asked["namespace"],
        lease_namespace=asked["lease_namespace"],
        agents=agents,
        signals=SignalOptions(inside=("127.0.0.1",)),
        guard_s=GUARD_S,
        reflector=ReflectorOptions(watch_s=5.0, silence_s=8.0),
    )
    Operator(options).run()


if __name__ == "__main__":
    main()
