"""What pages show for other programs than ours is typed by a test, or stands here with where the same is done."""

from __future__ import annotations

import pytest
from docs_calls import unsaid
from docs_shell import ALONE, DEMO, ELSEWHERE, LINES, QUICKSTART, TYPED, Made, fitting


def test_every_line_is_typed_somewhere() -> None:
    assert unsaid(LINES, TYPED, ELSEWHERE) == []
    assert all((len(QUICKSTART) >= 6, len(DEMO) >= 4, len(ALONE) >= 4))


def test_what_is_typed_nowhere_or_gone_is_told() -> None:
    assert unsaid(["a: x", "b: y"], {"a: x"}, {"b": ("README.md", "there")}) == []
    assert unsaid(["a: x"], {"b: y"}, {"c": ("none.py", "there")}) == [
        "b: y: no page has it any more",
        "a: x: typed nowhere",
        "c: no page has it any more",
        "none.py: no such file",
    ]


def test_a_line_is_made_to_fit() -> None:
    made = Made(replaced={"NODE": "one"}, added="-o yaml")
    assert fitting("kubectl get node NODE   # a remark", made) == "kubectl get node one -o yaml"
    with pytest.raises(KeyError, match="no NODE"):
        fitting("kubectl get nodes", made)
