"""Every command of ours that a page tells its reader to type is one that there is, with options that it has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from docs_calls import CALLS, ROOT
from typer.core import TyperGroup
from typer.exceptions import TyperException

from scheduler.entrypoints.cli import app
from scheduler.entrypoints.kubectl import app as kubectl

PROGRAMS = {"heat-dispatch": typer.main.get_command(app), "kubectl heatdispatch": typer.main.get_command(kubectl)}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def wrong_with(call: Sequence[str]) -> str:
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


@pytest.mark.parametrize("page", sorted({one.page for one in CALLS}), ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_says_can_be_typed(page: Path) -> None:
    said = [one for one in CALLS if one.page == page]
    assert not [f"line {one.line}: {' '.join(one.words)}: {why}" for one in said if (why := wrong_with(one.words))]


def test_the_pages_name_many_commands_and_a_wrong_one_is_seen() -> None:
    assert len(CALLS) > 100
    assert "No such option" in wrong_with(["heat-dispatch", "plan", "--no-such-thing"])
    assert wrong_with(["heat-dispatch", "plam"]) == "no command plam"
    assert wrong_with(["heat-dispatch", "dev", "cluster", "upp"]) == "no command upp"
    assert wrong_with(["make", "tset"]) == "no target tset"
