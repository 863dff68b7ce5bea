"""What is taken for a command on a page, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs_commands import changed, commands_in, skipped

PAGE = """# A page

Type `ls` or not.

```sh
one a 'b c'   # a remark
# nothing here

two --x 1 \\
    --y 2
```

```sh by-hand
three
```

```console
$ four
it answers
$ five \\
  six
```

    seven

```yaml
eight: 8
```

- in a list

  ```bash
  nine
  ```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "place" / "page.md"
    path.parent.mkdir()
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_commands_stand_in_fenced_blocks_of_a_shell(page: Path) -> None:
    assert [command.words for command in commands_in(page)] == [
        ("one", "a", "b c"),
        ("two", "--x", "1", "--y", "2"),
        ("four",),
        ("five", "six"),
        ("nine",),
    ]


def test_a_command_knows_where_it_stands(page: Path) -> None:
    lines = PAGE.splitlines()
    for command in commands_in(page):
        assert command.program in lines[command.line - 1]
    assert str(commands_in(page)[1]) == "place:9 two --x 1"


def test_blocks_that_are_not_for_machines_are_counted(page: Path) -> None:
    assert skipped(page) == 1


def test_a_quote_that_is_not_closed_is_an_error(page: Path) -> None:
    page.write_text("```sh\necho 'a\n```\n", encoding="utf-8")
    with pytest.raises(ValueError, match="No closing quotation"):
        commands_in(page)


def test_a_command_is_made_small_or_it_is_said_that_it_cannot_be() -> None:
    assert changed(("run", "--days", "7", "x"), {"--days": "1"}, ("--quick",)) == ["run", "--days", "1", "x", "--quick"]
    with pytest.raises(KeyError, match="no --days"):
        changed(("run", "x"), {"--days": "1"})
