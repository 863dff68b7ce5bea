"""What the benchmarks that run in stages ask of their command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection


def some_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """Reads a list of stages apart by commas, for argparse, which names a wrong one and ends with code 2."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"no stage {name!r}; there are {', '.join(known)}")
        return names

    return read
