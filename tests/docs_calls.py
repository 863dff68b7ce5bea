"""The calls of our programs on all pages: those in blocks of code, there to be typed, and those named in a sentence."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
ENDS = {"&&", "||", "|", ";", "&", ">", "2>&1", ">>", "<"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Words of a call, where it stands (lines count from 1), and whether it is in a block."""

    page: Path
    line: int
    words: tuple[str, ...]
    in_block: bool

    @property
    def name(self) -> str:
        """Page and words."""
        return f"{self.page.relative_to(ROOT)}: {' '.join(self.words)}"


def calls_of(page: Path) -> list[Call]:
    """All calls of a page."""
    return [
        Call(page=page, line=number, words=tuple(words), in_block=in_block)
        for number, line, in_block in lines_of(page)
        for words in ours(line)
    ]


def lines_of(page: Path) -> list[tuple[int, str, bool]]:
    """Lines of code blocks, and code within a sentence, with where they stand; a backslash goes on in the next line."""
    found: list[tuple[int, str, bool]] = []
    for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        if token.type == "inline" and token.map is not None:
            found += [(token.map[0] + 1, one.content, False) for one in token.children or () if one.type == "code_inline"]
        if token.type in {"fence", "code_block"} and token.map is not None:
            first = token.map[0] + (2 if token.type == "fence" else 1)
            begun = ""
            for number, line in enumerate(token.content.splitlines(), start=first):
                begun += line.strip().removeprefix("$ ")
                if begun.endswith("\\"):
                    begun = begun[:-1]
                    continue
                found.append((number, begun, True))
                begun = ""
    return found


def ours(line: str) -> list[list[str]]:
    """The calls of our programs in a line of a shell, as words."""
    if not re.search(r"\b(heat-dispatch|kubectl heatdispatch|make)\b", line):
        return []
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # not a line of a shell
        return []
    calls: list[list[str]] = [[]]
    for word in words:
        if word in ENDS:
            calls.append([])
        else:
            calls[-1].append(word)
    bare = [one[next((i for i, word in enumerate(one) if "=" not in word), len(one)) :] for one in calls]
    return [one for one in bare if one[:1] in (["heat-dispatch"], ["make"]) or one[:2] == ["kubectl", "heatdispatch"]]


def unsaid(shown: Iterable[str], done: Set[str], elsewhere: Mapping[str, tuple[str, str]]) -> list[str]:
    """What is wrong when each name shown is either done or begins like a key of `elsewhere`, which names a file and why."""
    shown = set(shown)
    left = shown - done
    return [
        *(f"{name}: no page has it any more" for name in done - shown),
        *(f"{name}: typed nowhere" for name in left if not any(name.startswith(start) for start in elsewhere)),
        *(f"{start}: no page has it any more" for start in elsewhere if not any(name.startswith(start) for name in left)),
        *(f"{file}: no such file" for file, _ in elsewhere.values() if not (ROOT / file).is_file()),
    ]


CALLS = [call for page in PAGES for call in calls_of(page)]
