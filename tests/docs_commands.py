"""The commands that a page tells its reader to type, so that tests may type them.

A command stands in a fenced block whose language is `sh`, `bash` or `console`; in a `console` block it begins with `$ ` and the
rest is what it prints. A backslash at the end of a line goes on in the next one, and `#` begins a remark, as in a shell. A
block with a word after its language, as `sh by-hand`, is not for machines: `skipped` counts them, so that a test can say how
many it lets pass.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

LANGUAGES = ("sh", "bash", "console")
PROMPT = "$ "


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command of a page: the line where it stands, counted from 1, and its words."""

    page: Path
    line: int
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        """What is started."""
        return self.words[0]

    def __str__(self) -> str:
        """Folder of the page, line and command, for the names of tests."""
        return f"{self.page.parent.name}:{self.line} {' '.join(self.words[:3])}"


def commands_in(page: Path) -> tuple[Command, ...]:
    """All commands of a page that are for machines too, in its order.

    Raises:
        ValueError: a quote that is not closed, as by `shlex`.
    """
    found: list[Command] = []
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "fence" and token.info.split() in [[name] for name in LANGUAGES] and token.map is not None:
            first = token.map[0] + 2
            found += _of_block(page, first, token.content, prompted=token.info.strip() == "console")
    return tuple(found)


def skipped(page: Path) -> int:
    """Blocks of commands that are marked as not for machines."""
    fences = [token.info.split() for token in MarkdownIt().parse(page.read_text(encoding="utf-8")) if token.type == "fence"]
    return sum(len(words) > 1 and words[0] in LANGUAGES for words in fences)


def changed(words: Sequence[str], values: Mapping[str, str], added: Sequence[str] = ()) -> list[str]:
    """The words with other values for some options, and more words at the end: what a page asks for, made small.

    Raises:
        KeyError: the command has not one of the options, so that it was never made small.
    """
    out = list(words)
    for option, value in values.items():
        if option not in out:
            raise KeyError(f"{' '.join(words)}: no {option}")
        out[out.index(option) + 1] = value
    return [*out, *added]


def _of_block(page: Path, first: int, text: str, *, prompted: bool) -> list[Command]:
    """Commands of one block whose first line is line `first` of the page."""
    found: list[Command] = []
    begun, begun_at = "", first
    for number, line in enumerate(text.splitlines(), start=first):
        if not begun:
            if prompted and not line.startswith(PROMPT):
                continue
            begun_at = number
        begun += line.removeprefix(PROMPT) if prompted else line
        if begun.endswith("\\"):
            begun = begun[:-1]
            continue
        words = tuple(shlex.split(begun, comments=True))
        begun = ""
        if words:
            found.append(Command(page=page, line=begun_at, words=words))
    return found
