"""What the benchmarks that run in stages ask of their command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence


def some_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """Reads a list of stages apart by commas, for argparse, which names a wrong one and ends with code 2."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"no stage {name!r}; there are {', '.join(known)}")
        return names

    return read


def asked_often(name: str, about: str, stages: Sequence[str], *, plants: int) -> argparse.ArgumentParser:
    """The options of a benchmark in which plants ask an interface for a while; about: the module's docstring."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about.splitlines()[0])
    parser.add_argument("--stages", type=some_of(stages), default=",".join(stages), help="which of them (%(default)s)")
    parser.add_argument("--plants", type=int, default=plants, help="plants that ask (%(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long they ask (%(default)s)")
    return parser
