"""The command lines of docs/plant-rest.md, as a plant engineer would type them, and his client certificate."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from link_world import CITY
from rest_world import PLENTY, TOKENS, Authority, Served, credentials, served

from scheduler.domain.link_options import RestOptions, TlsFiles

DOCS = Path(__file__).parents[2] / "docs" / "plant-rest.md"
CURL = shutil.which("curl")
ADDRESS, CURL_BEGINS = "L=https://link.example:8443", "curl "

pytestmark = pytest.mark.skipif(CURL is None, reason="no curl on this machine")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    """An interface that asks for client certificates, and the folder in which the engineer sits."""
    folder = tmp_path_factory.mktemp("desk")
    authority = Authority(folder, "ca")
    server = authority.issue("server")
    authority.issue("city-plant", "city")
    (folder / "city.token").write_text(TOKENS["city-plant"] + "\n", encoding="utf-8")
    tls = TlsFiles(certificate=server.certificate, key=server.key, client_ca=str(authority.file))
    with served(RestOptions(port=0, credentials=credentials(folder), tls=tls, **PLENTY)) as link:
        link.plan(412)
        yield link, folder


def shell(link: Served, folder: Path, lines: str) -> str:
    """Run lines of the page: with our address, the client certificate, and an error for every status of 400 and more."""
    here = lines.replace(ADDRESS, f"L=https://127.0.0.1:{link.interface.port}")
    here = here.replace(CURL_BEGINS, "curl --fail-with-body -sS --max-time 20 --cert city.pem --key city.key ")
    done = subprocess.run(["bash", "-euc", here], cwd=folder, capture_output=True, text=True, timeout=60.0, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def whole(file: Path) -> bool:
    """Whether a JSON document was written to its end."""
    try:
        return bool(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return False


def blocks() -> list[str]:
    """What the page has to be typed."""
    return re.findall(r"```sh\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


def test_every_line_of_the_page_works(desk: tuple[Served, Path]) -> None:
    link, folder = desk
    first, waits = blocks()
    said = shell(link, folder, first)
    found, decoder, rows = 0, json.JSONDecoder(), []
    while found < len(said):
        row, found = decoder.raw_decode(said, found)
        rows.append(row)
    assert [sorted(row)[0] for row in rows] == ["offtakes", "alarm", "boilerRequestKw", "accepted"]
    assert link.desk.letters[-1].sender.name == "city-plant"
    head = first.split("\n\n", maxsplit=1)[0]
    assert shell(link, folder, f"{head}\n{waits.replace('wait=30', 'wait=0')}") == "", "not changed"
    (folder / "schedule.json").unlink()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(shell, link, folder, f"{head}\n{waits}")
        until_s = time.monotonic() + 20.0
        while not whole(folder / "schedule.json") and time.monotonic() < until_s:
            time.sleep(0.02)
        link.plan(413)
        assert json.loads(waiting.result(40.0))["sequence"] == 413


def test_without_the_certificate_curl_is_not_let_in(desk: tuple[Served, Path]) -> None:
    link, folder = desk
    url = f"https://127.0.0.1:{link.interface.port}/v1/offtakes/{CITY}/heartbeat"
    token = f"Authorization: Bearer {TOKENS['city-plant']}"
    done = subprocess.run(
        [str(CURL), "-sS", "--max-time", "20", "--cacert", "ca.pem", "-H", token, url],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stdout == b""


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2"])
def test_whatever_version_of_http_is_asked_for(desk: tuple[Served, Path], version: str) -> None:
    link, folder = desk
    said = shell(link, folder, f'curl {version} --cacert ca.pem -H "Authorization: Bearer $(cat city.token)" '
                 f"https://127.0.0.1:{link.interface.port}/v1/offtakes/{CITY}/heartbeat")  # fmt: skip
    assert json.loads(said)["offtakeId"] == CITY
