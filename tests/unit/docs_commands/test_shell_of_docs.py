"""What pages show for other programs than ours is typed by a test, or stands here with where the same is done."""

from __future__ import annotations

import pytest
from docs_calls import ROOT
from docs_shell import ALONE, DEMO, ELSEWHERE, LINES, QUICKSTART, TYPED, Made, fitting


def test_every_line_is_typed_somewhere() -> None:
    assert not TYPED - set(LINES), "no page has it any more"
    left = {name for name in LINES if name not in TYPED}
    assert not [name for name in left if not any(name.startswith(start) for start in ELSEWHERE)]
    assert not [start for start in ELSEWHERE if not any(name.startswith(start) for name in left)]
    assert not [file for file, _ in ELSEWHERE.values() if not (ROOT / file).is_file()]
    assert all((len(QUICKSTART) >= 6, len(DEMO) >= 4, len(ALONE) >= 4))


def test_a_line_is_made_to_fit() -> None:
    made = Made(replaced={"NODE": "one"}, added="-o yaml")
    assert fitting("kubectl get node NODE   # a remark", made) == "kubectl get node one -o yaml"
    with pytest.raises(KeyError, match="no NODE"):
        fitting("kubectl get nodes", made)
