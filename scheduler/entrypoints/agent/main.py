"""The process that stays: it loads what a service needs and nothing more, so that it is small. Its argument: a line of JSON."""

from __future__ import annotations

import sys

# What others try to load and can do without: the command line of httpx (with click, rich and pygments 5 MB), and what httpcore
# needs of asynchronous callers.
NOT_NEEDED = ("httpx._main", "click", "rich", "pygments", "trio", "anyio")
EXIT_USAGE = 2


def main() -> int:
    """Serve; returns the exit code."""
    for name in NOT_NEEDED:
        sys.modules[name] = None  # type: ignore[assignment]  # this is how Python is told that there is no such module
    from scheduler.domain.errors import Misconfigured
    from scheduler.entrypoints.agent.service import serve
    from scheduler.entrypoints.agent.setup import setup_of

    try:
        return serve(setup_of(sys.argv[1]))
    except Misconfigured as error:
        sys.stderr.write(f"error: {error}\n")
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
        sys.stderr.write(f"error: {what} (expected a free address, and files that can be read)\n")
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
