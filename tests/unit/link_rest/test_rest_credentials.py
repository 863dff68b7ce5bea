"""Who is let in: by token, by certificate, by both; and what happens when a token is exchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.adapters.logs import Teller
from scheduler.adapters.plantlink.rest.credentials import CredentialBook
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import Credential

NOBODY = frozenset[str]()
TELL = Teller("test")


def plant(folder: Path, name: str, text: str) -> Credential:
    (folder / name).write_text(text, encoding="utf-8")
    return Credential(name=name, secret_file=str(folder / name), offtakes=("city",))


def book(*credentials: Credential, certificates: bool = False) -> CredentialBook:
    return CredentialBook(credentials, certificates=certificates, tell=TELL)


def named(found: Credential | None) -> str | None:
    return None if found is None else found.name


def test_each_token_is_its_plants_own(tmp_path: Path) -> None:
    known = book(plant(tmp_path, "a", "a" * 32 + "\n"), plant(tmp_path, "b", "b" * 32))
    assert named(known.who("Bearer " + "a" * 32, NOBODY)) == "a"
    assert named(known.who("bearer  " + "b" * 32, NOBODY)) == "b"


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic " + "a" * 32,
        "Bearer " + "a" * 31,
        "Bearer " + "a" * 33,
        "a" * 32,
        "Bearer ä\udcff",
    ],
)
def test_anything_else_is_nobodys(tmp_path: Path, said: str | None) -> None:
    assert book(plant(tmp_path, "a", "a" * 32)).who(said, NOBODY) is None


@pytest.mark.parametrize("text", ["", "short", "a" * 31, "a b" * 20, "ä" * 40, "\n".join(["a" * 32, "b" * 32, "c" * 32])])
def test_a_file_without_a_good_token_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    with pytest.raises(Misconfigured, match="openssl rand"):
        book(plant(tmp_path, "a", text))


def test_no_refusal_shows_what_was_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        book(plant(tmp_path, "a", "hunter2"))
    assert "hunter2" not in str(caught.value)


def test_a_missing_file_nobody_at_all_and_a_token_of_two_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="nobody may ask"):
        book()
    with pytest.raises(Misconfigured, match="No such file"):
        book(Credential(name="a", secret_file=str(tmp_path / "none"), offtakes=("city",)))
    with pytest.raises(Misconfigured, match="a and b have one token"):
        book(plant(tmp_path, "a", "a" * 32), plant(tmp_path, "b", "a" * 32))
    with pytest.raises(Misconfigured, match="one name"):
        book(plant(tmp_path, "a", "a" * 32), plant(tmp_path, "a", "a" * 32))


def test_two_tokens_hold_while_a_plant_changes_over_and_the_old_one_ends_with_its_line(tmp_path: Path) -> None:
    old, new = "Bearer " + "o" * 40, "Bearer " + "n" * 40
    known = book(plant(tmp_path, "a", "o" * 40))
    replaced(tmp_path / "a", "o" * 40 + "\n" + "n" * 40)
    known.renew()
    assert named(known.who(old, NOBODY)) == named(known.who(new, NOBODY)) == "a"
    replaced(tmp_path / "a", "n" * 40)
    known.renew()
    assert known.who(old, NOBODY) is None
    assert named(known.who(new, NOBODY)) == "a"
    assert known.trouble() == ""


@pytest.mark.parametrize("spoilt", [None, "short", "b" * 32])
def test_who_loses_the_token_is_let_in_no_more_and_the_others_are(tmp_path: Path, spoilt: str | None) -> None:
    known = book(plant(tmp_path, "a", "a" * 32), plant(tmp_path, "b", "b" * 32), plant(tmp_path, "c", "c" * 32))
    (tmp_path / "a").unlink()
    if spoilt is not None:
        (tmp_path / "a").write_text(spoilt, encoding="utf-8")
    known.renew()
    assert known.who("Bearer " + "a" * 32, NOBODY) is None
    assert named(known.who("Bearer " + "c" * 32, NOBODY)) == "c"
    # A token of two plants could be either's.
    assert named(known.who("Bearer " + "b" * 32, NOBODY)) == (None if spoilt == "b" * 32 else "b")
    assert "a" in known.trouble()
    replaced(tmp_path / "a", "z" * 32)
    known.renew()
    assert known.trouble() == ""
    assert named(known.who("Bearer " + "z" * 32, NOBODY)) == "a"


def test_with_certificates_the_name_must_be_the_tokens(tmp_path: Path) -> None:
    known = book(plant(tmp_path, "a", "a" * 32), plant(tmp_path, "b", "b" * 32), certificates=True)
    assert named(known.who("Bearer " + "a" * 32, frozenset({"a"}))) == "a"
    assert known.who("Bearer " + "a" * 32, frozenset({"b"})) is None
    assert known.who("Bearer " + "a" * 32, NOBODY) is None
    assert known.who(None, frozenset({"a"})) is None


def test_a_certificate_alone_is_enough_for_a_plant_without_a_token(tmp_path: Path) -> None:
    bare = Credential(name="bare", secret_file="", offtakes=("city",))
    known = book(bare, plant(tmp_path, "a", "a" * 32), certificates=True)
    assert named(known.who(None, frozenset({"bare"}))) == "bare"
    assert known.who(None, frozenset({"stranger"})) is None
    with pytest.raises(Misconfigured, match="bare has no token"):
        book(bare)


def replaced(path: Path, text: str) -> None:
    """As whoever renews a file does it: at once, by another."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
