"""Every command of ours that a page tells its reader to type is one that there is, with options that it has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from markdown_it import MarkdownIt
from typer.core import TyperGroup
from typer.exceptions import TyperException

from scheduler.entrypoints.cli import app
from scheduler.entrypoints.kubectl import app as kubectl

ROOT = Path(__file__).parents[3]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
PROGRAMS = {"heat-dispatch": typer.main.get_command(app), "kubectl heatdispatch": typer.main.get_command(kubectl)}
ENDS = {"&&", "||", "|", ";", "&", ">", "2>&1", ">>", "<"}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def lines_of(page: Path) -> list[tuple[int, str]]:
    """Lines of code blocks, and code within a sentence, with where they stand; a backslash goes on in the next line."""
    found: list[tuple[int, str]] = []
    for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        if token.type == "inline" and token.map is not None:
            found += [(token.map[0] + 1, one.content) for one in token.children or () if one.type == "code_inline"]
        if token.type in {"fence", "code_block"} and token.map is not None:
            first = token.map[0] + (2 if token.type == "fence" else 1)
            begun = ""
            for number, line in enumerate(token.content.splitlines(), start=first):
                begun += line.strip().removeprefix("$ ")
                if begun.endswith("\\"):
                    begun = begun[:-1]
                    continue
                found.append((number, begun))
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


def wrong_with(call: list[str]) -> str:
    """Why a call could not work; empty: it could."""
    if call[0] == "make":
        missing = [one for one in call[1:] if "=" not in one and not one.startswith("-") and one not in TARGETS]
        return f"no target {', '.join(missing)}" if missing else ""
    name = "heat-dispatch" if call[0] == "heat-dispatch" else "kubectl heatdispatch"
    command, words = PROGRAMS[name], call[len(name.split()) :]
    if words[:1] in (["..."], ["…"], ["COMMAND"]):
        return ""
    try:
        while True:
            context = command.context_class(command)
            _, rest, _ = command.make_parser(context).parse_args(list(words))
            if not rest or not isinstance(command, TyperGroup):
                return ""
            found = command.get_command(context, rest[0])
            if found is None:
                return f"no command {rest[0]}"
            command, words = found, rest[1:]
    except TyperException as error:
        # `--month` within a sentence, without a month, is no mistake.
        return "" if "requires an argument" in error.format_message() else error.format_message()


CALLS = [(page, number, call) for page in PAGES for number, line in lines_of(page) for call in ours(line)]


@pytest.mark.parametrize("page", sorted({page for page, _, _ in CALLS}), ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_says_can_be_typed(page: Path) -> None:
    said = [(number, call) for one, number, call in CALLS if one == page]
    assert not [f"line {number}: {' '.join(call)}: {why}" for number, call in said if (why := wrong_with(call))]


def test_the_pages_name_many_commands_and_a_wrong_one_is_seen() -> None:
    assert len(CALLS) > 100
    assert "No such option" in wrong_with(["heat-dispatch", "plan", "--no-such-thing"])
    assert wrong_with(["heat-dispatch", "plam"]) == "no command plam"
    assert wrong_with(["heat-dispatch", "dev", "cluster", "upp"]) == "no command upp"
    assert wrong_with(["make", "tset"]) == "no target tset"
