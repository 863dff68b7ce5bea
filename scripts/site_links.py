"""A hook of mkdocs: a link to a file of the repository that is no page becomes the file's path; the site has no such file."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\(([^)#\s:]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, /, *, page: Any, **_: Any) -> str:
    """One page's text; a path that is not there is left to the check of the site, which fails on it."""
    folder = posixpath.dirname(f"docs/{page.file.src_uri}")

    def told(found: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, found[2]))
        if path.startswith("docs/") or not (ROOT / path).exists():
            return found[0]
        return found[1] if found[1].strip("`") in path else f"{found[1]} (`{path}`)"

    return LINK.sub(told, markdown)
