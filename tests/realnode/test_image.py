"""The container image as an archive: who it runs as, what it says of itself, and what its list of contents names."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from scheduler import __version__

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
SITE = "opt/heat-dispatch/lib/python3.11/site-packages/"
SBOM = "opt/heat-dispatch/share/sbom.cdx.json"


class Image:
    """The image's description, and what is in its layers by path."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        (manifest,) = json.loads(self._read("manifest.json"))
        self.described: dict[str, Any] = json.loads(self._read(manifest["Config"]))
        self.size = 0
        self.members: dict[str, tarfile.TarInfo] = {}
        self.sbom: dict[str, Any] = {}
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                for member in layer:
                    self.members[member.name.removeprefix("./")] = member
                    self.size += member.size
                    if member.name == SBOM:
                        found = layer.extractfile(member)
                        assert found is not None
                        self.sbom = json.load(found)

    def _read(self, name: str) -> bytes:
        found = self._archive.extractfile(name)
        assert found is not None
        return found.read()


@pytest.fixture(scope="module")
def opened(image: Path) -> Iterator[Image]:
    with tarfile.open(image) as archive:
        yield Image(archive)


def plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_it_runs_as_nobody_and_says_what_it_is(opened: Image) -> None:
    config = opened.described["config"]
    assert (config["User"], config["Entrypoint"], config["Cmd"]) == ("65532:65532", ["heat-dispatch"], ["--help"])
    labels = {key.rpartition(".")[2]: value for key, value in config["Labels"].items() if key.startswith("org.opencontainers")}
    assert (labels["title"], labels["version"], labels["licenses"]) == ("heat-dispatch", __version__, "Apache-2.0")
    assert opened.size < 500e6


def test_the_list_of_what_is_inside_is_that_of_the_requirements(opened: Image) -> None:
    inside = {plain(one["name"]): one["version"] for one in opened.sbom["components"]}
    pinned = {
        plain(name): version for name, version in PINNED.findall((ROOT / "requirements" / "image.txt").read_text("utf-8"))
    }
    assert {name: version for name, version in inside.items() if name != "heat-dispatch"} == pinned
    assert not {"pip", "hatchling", "cyclonedx-bom"} & inside.keys()


def test_no_time_and_no_user_of_the_build_is_in_it(opened: Image) -> None:
    ours = [one for name, one in opened.members.items() if name.startswith("opt/heat-dispatch/")]
    assert len(ours) > 1000
    assert {(one.mtime, one.uid, one.gid) for one in ours} == {(ours[0].mtime, 0, 0)}


def test_everything_that_may_be_loaded_is_compiled(opened: Image) -> None:
    """The root file system is read-only: what is not compiled in the image is compiled at each start."""
    ours = [name for name in opened.members if name.startswith(f"{SITE}scheduler/") and name.endswith(".py")]
    assert ours
    for name in ours:
        path = PurePosixPath(name)
        assert str(path.parent / "__pycache__" / f"{path.stem}.cpython-311.pyc") in opened.members
