"""Whether a setter answers: for the kubelet, which starts one anew that does not. Argument: its socket."""

from __future__ import annotations

import sys
from pathlib import Path

from scheduler.adapters.gpu.setter_client import SetterAway, SetterClient

# A worker that is started anew takes less.
PATIENCE_S = 5.0


def main() -> int:
    """Ask it once, which is no sign of life to it; returns 1 when it does not answer."""
    client = SetterClient(Path(sys.argv[1]), timeout_s=PATIENCE_S)
    try:
        client.look()
    except SetterAway as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        client.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
