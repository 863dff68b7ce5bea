"""Draw every dashboard on a day that Prometheus holds, as one picture each: no Grafana takes part.

python scripts/dashboard_pictures.py                    # docs/pictures/dashboard-*.png
python scripts/dashboard_pictures.py --output DIR --keep-html

The panels, their places, units, limits and queries are read from the dashboards of the chart; the answers are those of a real
Prometheus that holds the day of `dashboard_day`; Plotly draws them, Chromium takes the picture. It needs `make promtool` and a
Chromium, and the control plane's Python environment.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "scripts")]

import httpx  # noqa: E402 - the script runs from a checkout
import numpy as np  # noqa: E402 - as above
import plotly.graph_objects as go  # noqa: E402 - as above
import yaml  # noqa: E402 - as above
from dashboard_day import FIRST_UTC, SLOT_S, SLOTS, day  # noqa: E402 - as above
from numpy.typing import NDArray  # noqa: E402 - as above
from plotly.offline import get_plotlyjs  # noqa: E402 - as above
from prometheus_server import CHART, RULES, program, running_prometheus  # noqa: E402 - as above

STEP_S = 300
# In pixels: the page, one unit of Grafana's grid, what remains for titles within a panel.
WIDTH, ROW, TITLE, LEGEND, MARGIN, GAP = 1100, 26, 24, 34, 8, 10
COLUMNS = 24
LINES = (
    "#3274d9",
    "#56a64b",
    "#e0752d",
    "#8f3bb8",
    "#c4162a",
    "#37872d",
    "#b877d9",
    "#1f60c4",
    "#f2495c",
    "#96d98d",
    "#ffa6b0",
)
COLOURS = {"green": "#37872d", "orange": "#e0752d", "red": "#c4162a"}
INK, MUTED, GRID, PAPER, PAGE = "#24292e", "#6e7681", "#e4e7eb", "#ffffff", "#f4f5f5"
FONT = "DejaVu Sans, Liberation Sans, sans-serif"
# Grafana's units that panels have: what one unit of a value is shown as, largest first.
SCALES: Mapping[str, Sequence[tuple[float, str]]] = {
    "watt": ((1e6, "MW"), (1e3, "kW"), (1.0, "W")),
    "joule": ((3.6e9, "MWh"), (3.6e6, "kWh"), (1.0, "J")),
    "s": ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms")),
    "percentunit": ((0.01, "%"),),
    "currencyEUR": ((1.0, "EUR"),),
    "celsius": ((1.0, "°C"),),
    "reqps": ((1.0, "req/s"),),
    "none": ((1.0, ""),),
}
Json = dict[str, Any]


def main() -> int:
    """Draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--keep-html", action="store_true", help="keep the pages that the pictures are taken of")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        parser.error("no Chromium on this machine")
    with tempfile.TemporaryDirectory() as place, holding_the_day(Path(place)) as url:
        for path in sorted((CHART / "dashboards").glob("*.json")):
            board = json.loads(path.read_text("utf-8"))
            figure, height = drawn(board, url)
            html = (given.output if given.keep_html else Path(place)) / f"{path.stem}.html"
            html.write_text(page(figure), encoding="utf-8")
            target = given.output / f"dashboard-{path.stem.removeprefix('heat-dispatch-')}.png"
            taken(chromium, html, target, height)
            print(f"{target.name}: {target.stat().st_size // 1024} KiB")
    return 0


@contextmanager
def holding_the_day(place: Path) -> Iterator[str]:
    """A Prometheus that holds the day and reads nothing; its URL."""
    (place / "day.om").write_text(day().text(), encoding="utf-8")
    blocks = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", "day.om", "data"]
    subprocess.run(blocks, cwd=place, check=True, capture_output=True, timeout=600)
    # What was there two minutes before is no more: a day that was read would say so, one that is made up does not.
    options = ("--storage.tsdb.retention.time=10y", "--query.lookback-delta=90s")
    with running_prometheus(place, [], {"groups": []}, *options) as prometheus:
        yield prometheus.url


def filled(expr: str) -> str:
    """A query with all values of every variable, and what rules record written out: nobody has evaluated them that day."""
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    recorded = {rule["record"]: rule["expr"] for group in groups for rule in group["rules"] if "record" in rule}
    while any(name in expr for name in recorded):
        for name, meant in recorded.items():
            expr = re.sub(rf"{name}(\{{[^}}]*\}})?", lambda _, meant=meant: f"({meant})", expr)
    return re.sub(r"\$\w+", ".*", expr)


def answered(url: str, expr: str) -> list[tuple[dict[str, str], list[float], list[float]]]:
    """Labels, instants and values of every series over the day."""
    first_s = FIRST_UTC.timestamp()
    # The first hour has nothing to compare with.
    query = {"query": filled(expr), "start": first_s + 3600.0, "end": first_s + SLOTS * SLOT_S - STEP_S, "step": STEP_S}
    answer = httpx.post(f"{url}/api/v1/query_range", data=query, timeout=120.0, trust_env=False).json()
    if answer["status"] != "success":
        raise ValueError(f"{expr}: {answer['error']}")
    found = []
    for one in answer["data"]["result"]:
        pairs = [(float(at_s), float(value)) for at_s, value in one["values"] if not math.isnan(float(value))]
        if pairs:
            found.append((one["metric"], [at_s for at_s, _ in pairs], [value for _, value in pairs]))
    return found


def named(legend: str, labels: Mapping[str, str]) -> str:
    """A series' name as Grafana makes it."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend) or "other"


def scale(unit: str, largest: float) -> tuple[float, str]:
    """By how much values are divided, and what they are then."""
    steps = SCALES[unit]
    usual = next((one for one in steps if one[0] == 1.0), steps[-1])
    return next((one for one in steps if largest >= one[0]), steps[-1]) if largest else usual


def drawn(board: Json, url: str) -> tuple[go.Figure, int]:
    """A dashboard as one figure, and its height."""
    figure, height = go.Figure(), 70 + ROW * max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    figure.update_layout(
        width=WIDTH,
        height=height,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        paper_bgcolor=PAGE,
        plot_bgcolor=PAPER,
        showlegend=False,
        font={"family": FONT, "size": 10, "color": INK},
    )
    words(figure, height, 14, 22, f"<b>{board['title']}</b>", size=16)
    words(figure, height, 14, 46, board["description"], size=11, color=MUTED)
    for number, panel in enumerate(board["panels"], 1):
        at = panel["gridPos"]
        box = (
            at["x"] * WIDTH / COLUMNS + GAP / 2,
            62 + at["y"] * ROW,
            (at["x"] + at["w"]) * WIDTH / COLUMNS - GAP / 2,
            62 + (at["y"] + at["h"]) * ROW - GAP,
        )
        if panel["type"] == "row":
            words(figure, height, box[0] + MARGIN, box[1] + 12, f"<b>{panel['title']}</b>", size=12)
            continue
        rectangle(figure, height, box)
        words(figure, height, box[0] + MARGIN, box[1] + 13, f"<b>{panel['title']}</b>", size=11)
        series = [
            (named(target["legendFormat"], labels), instants, values)
            for target in panel["targets"]
            for labels, instants, values in answered(url, target["expr"])
        ]
        if not series:
            words(figure, height, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, "No data", color=MUTED, anchor="center")
        elif panel["type"] == "stat":
            single(figure, height, box, panel, series)
        else:
            graph(figure, height, box, panel, series, number)
    return figure, height


Box = tuple[float, float, float, float]
Series = list[tuple[str, list[float], list[float]]]


def single(figure: go.Figure, height: int, box: Box, panel: Json, series: Series) -> None:
    """The last value, in the colour of the limit that it has passed."""
    value = series[0][2][-1]
    divided, unit = scale(panel["fieldConfig"]["defaults"]["unit"], abs(value))
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    color = next(step["color"] for step in reversed(steps) if step.get("value") is None or value >= step["value"])
    shown = f"{value / divided:.3g} {unit}" if abs(value / divided) < 1000.0 else f"{value / divided:.0f} {unit}"
    middle = (box[0] + box[2]) / 2
    words(figure, height, middle, (box[1] + box[3]) / 2 + 8, shown, size=26, color=COLOURS[color], anchor="center")


def graph(figure: go.Figure, height: int, box: Box, panel: Json, series: Series, number: int) -> None:
    """Lines over the day, stacked where the panel says so, with a legend below."""
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    divided, unit = scale(panel["fieldConfig"]["defaults"]["unit"], max(abs(v) for _, _, values in series for v in values))
    name = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
    inner = (box[0] + 46, box[1] + TITLE, box[2] - 10, box[3] - LEGEND)
    domain_x, domain_y = [inner[0] / WIDTH, inner[2] / WIDTH], [1 - inner[3] / height, 1 - inner[1] / height]
    axis: Json = {
        "nticks": 6,
        "gridcolor": GRID,
        "linecolor": GRID,
        "tickfont": {"size": 9, "color": MUTED},
        "zerolinecolor": GRID,
    }
    top: Json = {"rangemode": "tozero"} if panel["fieldConfig"]["defaults"].get("min") == 0 else {}
    figure.update_layout(
        {
            f"xaxis{number}": {**axis, "domain": domain_x, "anchor": f"y{number}", "tickformat": "%H:%M"},
            f"yaxis{number}": {
                **axis,
                "domain": domain_y,
                "anchor": f"x{number}",
                "ticksuffix": f" {unit}",
                "nticks": 5,
                **top,
            },
        }
    )
    for place, (label, instants, values) in enumerate(series):
        line = {"color": LINES[place % len(LINES)], "width": 1.2}
        figure.add_scatter(
            x=[datetime.fromtimestamp(at_s, UTC) for at_s in instants],
            y=[float(f"{value / divided:.6g}") for value in values],
            mode="lines",
            line=line,
            name=label,
            **name,
            # What is below zero is stacked downwards.
            **({"stackgroup": f"s{number}{'below' * (sum(values) < 0.0)}"} if stacked else {}),
        )
    legend(figure, height, box, [label for label, _, _ in series])


def legend(figure: go.Figure, height: int, box: Box, labels: Sequence[str]) -> None:
    """Names in the colours of their lines, as many as have room."""
    most = int((box[2] - box[0]) / 6.2)
    told, used = [], 0
    for place, label in enumerate(labels):
        if used + len(label) + 3 > most - 6:
            told.append(f"<span style='color:{MUTED}'>+ {len(labels) - place}</span>")
            break
        told.append(f"<span style='color:{LINES[place % len(LINES)]}'>■</span> {label}")
        used += len(label) + 3
    words(figure, height, box[0] + MARGIN, box[3] - 11, "  ".join(told), size=9)


def words(figure: go.Figure, height: int, x: float, y: float, text: str, **look: Any) -> None:
    """Text at a place in pixels from the upper left corner."""
    figure.add_annotation(
        x=x / WIDTH,
        y=1 - y / height,
        xref="paper",
        yref="paper",
        text=text,
        showarrow=False,
        xanchor=look.get("anchor", "left"),
        yanchor="middle",
        font={"size": look.get("size", 10), "color": look.get("color", INK)},
    )


def rectangle(figure: go.Figure, height: int, box: Box) -> None:
    """The ground of a panel."""
    corners = {"x0": box[0] / WIDTH, "x1": box[2] / WIDTH, "y0": 1 - box[3] / height, "y1": 1 - box[1] / height}
    line = {"color": GRID, "width": 1}
    figure.add_shape(type="rect", xref="paper", yref="paper", fillcolor=PAPER, line=line, layer="below", **corners)


def page(figure: go.Figure) -> str:
    """A page that needs no network."""
    body = figure.to_html(full_html=False, include_plotlyjs=False, config={"staticPlot": True})
    return f"<!doctype html><meta charset=utf-8><style>body{{margin:0}}</style><script>{get_plotlyjs()}</script>{body}"


def with_palette(png: bytes) -> bytes:
    """The same picture with at most 256 colours, a third of the size.

    Raises:
        ValueError: it is not one of 8 bits a channel without interlacing, as browsers make them.
    """
    chunks, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        chunks.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    wide, high, bits, kind, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    if bits != 8 or kind not in (2, 6) or interlaced:
        raise ValueError("a picture of another kind")
    depth = 3 if kind == 2 else 4
    raw = zlib.decompress(b"".join(data for name, data in chunks if name == b"IDAT"))
    pixels = unfiltered(np.frombuffer(raw, np.uint8).reshape(high, 1 + wide * depth), depth)[:, :, :3].reshape(-1, 3)
    # Colours that differ by less than 8 of 255 are one; the most frequent are kept, the others take the nearest of these.
    coarse = (pixels >> 3).astype(np.int32) @ np.array([1024, 32, 1])
    bins, where, counts = np.unique(coarse, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(where, pixels[:, channel]) / counts for channel in range(3)], axis=1)
    kept = np.argsort(-counts)[:256]
    nearest = np.array([np.argmin(((means[kept] - one) ** 2).sum(axis=1)) for one in means], dtype=np.uint8)
    rows = np.zeros((high, 1 + wide), np.uint8)
    rows[:, 1:] = nearest[where].reshape(high, wide)
    head = struct.pack(">IIBBBBB", wide, high, 8, 3, 0, 0, 0)
    palette = np.round(means[kept]).astype(np.uint8).tobytes()
    parts = ((b"IHDR", head), (b"PLTE", palette), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return png[:8] + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def unfiltered(rows: NDArray[np.uint8], depth: int) -> NDArray[np.uint8]:
    """Pixels (rows, columns, channels) of a PNG's filtered lines (PNG specification, third edition, 9.2)."""
    high, wide = rows.shape[0], (rows.shape[1] - 1) // depth
    found = np.zeros((high, wide, depth), np.uint8)
    above = np.zeros((wide, depth), np.int32)
    for number in range(high):
        line, kind = rows[number, 1:].reshape(wide, depth).astype(np.int32), rows[number, 0]
        if kind == 2:
            line = line + above
        elif kind == 1:
            line = np.cumsum(line, axis=0)
        elif kind:
            for column in range(wide):
                left = line[column - 1] & 255 if column else np.zeros(depth, np.int32)
                corner = above[column - 1] if column else np.zeros(depth, np.int32)
                line[column] += (left + above[column]) // 2 if kind == 3 else paeth(left, above[column], corner)
        above = line & 255
        found[number] = above
    return found


def paeth(left: NDArray[np.int32], above: NDArray[np.int32], corner: NDArray[np.int32]) -> NDArray[np.int32]:
    """The neighbour that is nearest to left + above - corner."""
    guess = left + above - corner
    far = np.abs(guess - left), np.abs(guess - above), np.abs(guess - corner)
    return np.where((far[0] <= far[1]) & (far[0] <= far[2]), left, np.where(far[1] <= far[2], above, corner))


def taken(chromium: str, html: Path, target: Path, height: int) -> None:
    """The picture of a page."""
    with tempfile.TemporaryDirectory() as home:
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={home}"]
        command += [f"--window-size={WIDTH},{height}", "--virtual-time-budget=20000", f"--screenshot={target}", html.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    target.write_bytes(with_palette(target.read_bytes()))


if __name__ == "__main__":
    sys.exit(main())
