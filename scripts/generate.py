"""Write what the code generates (CRDs, JSON Schemas, reference pages), or say with `--check` which files are stale."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path, PurePath

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from dashboards import generated as dashboards  # noqa: E402 - as below

from scheduler.adapters.metrics.page import metrics_page  # noqa: E402 - the script runs from a checkout, installed or not
from scheduler.adapters.plantlink.modbus.page import modbus_page  # noqa: E402 - as above
from scheduler.adapters.plantlink.opcua.reference import opcua_page  # noqa: E402 - as above
from scheduler.config.chart import generated as of_the_chart  # noqa: E402 - as above
from scheduler.config.link_schemas import generated as of_the_link  # noqa: E402 - as above
from scheduler.config.schemas import generated as from_kinds  # noqa: E402 - as above
from scheduler.entrypoints.signal_table import providers_pages  # noqa: E402 - as above

OWNED = (
    "manifests/crds/*.yaml",
    "manifests/schemas/*.json",
    "helm/heat-dispatch/templates/crds/*.yaml",
    "helm/heat-dispatch/dashboards/*.json",
)


def generated() -> dict[PurePath, str]:
    """Every generated file by its path in the repository."""
    return {
        **from_kinds(),
        **of_the_link(),
        **metrics_page(),
        **modbus_page(),
        **opcua_page(),
        **providers_pages(ROOT),
        **of_the_chart(ROOT),
        **dashboards(),
    }


def stale(root: Path) -> list[str]:
    """Generated files that are missing or differ, and files in generated folders that nothing generates any more."""
    wanted = {str(path): text for path, text in generated().items()}
    wrong = [name for name, text in wanted.items() if not (root / name).is_file() or (root / name).read_text("utf-8") != text]
    left = [str(path.relative_to(root)) for pattern in OWNED for path in root.glob(pattern)]
    return sorted({*wrong, *(name for name in left if name not in wanted)})


def write(root: Path) -> list[str]:
    """Bring every generated file up to date; returns the paths that changed."""
    texts = {str(path): text for path, text in generated().items()}
    changed = stale(root)
    for name in changed:
        path = root / name
        if name not in texts:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[name], encoding="utf-8")
    return changed


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 when `--check` finds stale files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 and list the stale files")
    parser.add_argument("--root", type=Path, default=ROOT, help="root of the checkout")
    given = parser.parse_args(arguments)
    names = stale(given.root) if given.check else write(given.root)
    for name in names:
        print(f"stale: {name}" if given.check else f"wrote {name}")
    if given.check and names:
        print("run: make docs", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
