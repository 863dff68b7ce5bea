"""Parts of a real node that need neither root nor its packages."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from scheduler.adapters.devcluster.realnode import files, images, needs
from scheduler.domain.errors import Misconfigured

SETUP = Path(__file__).parents[3] / needs.SETUP


def test_an_archive_holds_both_images_on_one_layer_and_is_the_same_each_time() -> None:
    layer = images.layer_of(b"program", ["busybox", "sh"])
    assert layer == images.layer_of(b"program", ["busybox", "sh"])
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert {"bin/busybox", "bin/sh", "tmp"} <= set(tar.getnames())
        assert tar.getmember("bin/sh").linkname == "busybox"
    with tarfile.open(fileobj=io.BytesIO(images.packed(layer))) as tar:
        read = {name: content.read() for name in tar.getnames() if (content := tar.extractfile(name))}
    manifest = json.loads(read["manifest.json"])
    assert [one["RepoTags"] for one in manifest] == [[images.PAUSE], [images.BUSYBOX]]
    configs = [json.loads(read[one["Config"]]) for one in manifest]
    assert configs[1]["config"]["Entrypoint"] == ["/bin/sh", "-c"]
    assert configs[0]["rootfs"] == configs[1]["rootfs"]


def test_the_set_up_knows_every_package_that_is_looked_for() -> None:
    text = SETUP.read_text("utf-8")
    wanted = {*needs.PACKAGES.values(), needs.NETWORK_PACKAGE}
    assert {package for package in wanted if f"packages+=({package})" in text} == wanted


@pytest.mark.parametrize(("options", "code", "word"), [((), 1, "error: "), (("--optional",), 0, "warning: no real node: ")])
def test_where_it_cannot_install_it_says_what_is_missing(
    options: tuple[str, ...], code: int, word: str, tmp_path: Path
) -> None:
    command = ["/bin/bash", str(SETUP), *options]
    found = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert found.returncode == code
    assert found.stderr.startswith(word)
    assert "containerd" in found.stderr


def test_nobody_but_root_has_a_real_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in needs.missing()
    with pytest.raises(Misconfigured, match="no real node on this machine: it needs root"):
        needs.means()


def test_a_busybox_with_libraries_is_no_good(tmp_path: Path) -> None:
    (tmp_path / "linked").write_bytes(b"\x7fELF..../lib64/ld-linux-x86-64.so.2")
    (tmp_path / "static").write_bytes(b"\x7fELF....")
    assert not needs.is_static(tmp_path / "linked")
    assert needs.is_static(tmp_path / "static")


def test_everything_listens_on_loopback_and_writes_below_one_folder(tmp_path: Path) -> None:
    place = files.Place(folder=tmp_path, port=10250, api_port=6443, group="group", runtimes={"nvidia": Path("/own/runc")})
    kubelet = files.kubelet(place)
    assert (kubelet["address"], kubelet["port"], kubelet["cgroupRoot"]) == ("127.0.0.1", 10250, "/group")
    assert kubelet["makeIPTablesUtilChains"] is False
    text = files.containerd(place)
    assert f'root = "{tmp_path}/containerd"\nstate = "{files.RUN}"' in text
    assert all(Path(own).parent == tmp_path for own in files.covers(place).values())
    assert 'runtimes.nvidia.options]\n        SystemdCgroup = false\n        BinaryName = "/own/runc"' in text
    pairs, services = files.network(place)["plugins"]
    assert pairs["ipam"]["ranges"] == [[{"subnet": "10.88.10.0/24"}]]  # 10250 = 40 * 256 + 10
    assert services == {"type": files.SERVICES, "folder": str(tmp_path / "services"), "port": 6443}


def test_the_networks_plugins_are_those_of_the_machine_and_ours_which_answers(tmp_path: Path) -> None:
    machine, own = tmp_path / "machine", tmp_path / "own"
    machine.mkdir()
    (machine / "ptp").touch()
    files.write_plugins(own, needs.Means(programs={}, network_plugins=str(machine)))
    assert (own / "ptp").resolve() == machine / "ptp"
    asked = subprocess.run(
        [own / files.SERVICES], env={"CNI_COMMAND": "VERSION"}, input="{}", capture_output=True, text=True, check=True
    )
    assert "0.4.0" in json.loads(asked.stdout)["supportedVersions"]
