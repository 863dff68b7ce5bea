"""Self-contained HTML pages: plots by plotly, its JavaScript from the installed package, nothing from the network."""

from __future__ import annotations

import html
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plotly.offline import get_plotlyjs

CSS = """
:root{--ink:#1d2733;--muted:#66727f;--line:#e6eaee;--heat:#d1495b;--ok:#2f7d4f;--bad:#b3261e}
*{box-sizing:border-box}
body{margin:0;background:#f5f7f9;color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1120px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:34px 0 6px}.lead{color:var(--muted);margin:0 0 18px;max-width:78ch}
p{max-width:82ch}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(168px,1fr));gap:12px;margin:18px 0}
.card,.panel{background:#fff;border:1px solid var(--line);border-radius:8px}
.card{padding:12px 14px}
.card b{display:block;font-size:22px;line-height:1.3;white-space:nowrap;font-variant-numeric:tabular-nums}
.card span{color:var(--muted);font-size:13px}.panel{padding:12px 14px;margin:14px 0;overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}
th,td{padding:6px 9px;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}th{color:var(--muted);font-weight:600}tr.strong td{font-weight:650}
tr.total td{border-top:2px solid var(--ink);font-weight:650}th.text,td.text{white-space:normal;text-align:left}
.note{color:var(--muted);font-size:13.5px}.ok{color:var(--ok)}.bad{color:var(--bad)}
footer{margin-top:40px;color:var(--muted);font-size:13px}
@media print{body{background:#fff}.panel{break-inside:avoid}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Html:
    """Markup that is already safe."""

    text: str


def escape(value: object) -> str:
    """Text for HTML; `Html` passes as it is."""
    return value.text if isinstance(value, Html) else html.escape(str(value))


def heading(text: str, lead: str = "") -> Html:
    """A section heading with an optional sentence below."""
    return Html(text=f"<h2>{escape(text)}</h2>" + (f'<p class="lead">{escape(lead)}</p>' if lead else ""))


def paragraph(text: str, kind: str = "note") -> Html:
    """A paragraph of plain text."""
    return Html(text=f'<p class="{kind}">{escape(text)}</p>')


def cards(items: Iterable[tuple[str, str]]) -> Html:
    """A row of figures: (value, what it is)."""
    inner = "".join(f'<div class="card"><b>{escape(value)}</b><span>{escape(label)}</span></div>' for value, label in items)
    return Html(text=f'<div class="cards">{inner}</div>')


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    marks: Mapping[int, str] | None = None,
    words: Collection[int] = (),
) -> Html:
    """A table; `marks` gives a CSS class by row index, `words` the columns that hold sentences."""
    kinds = [' class="text"' if index in words else "" for index in range(len(header))]
    head = "".join(f"<th{kind}>{escape(cell)}</th>" for kind, cell in zip(kinds, header, strict=True))
    body = "".join(
        f'<tr class="{(marks or {}).get(index, "")}">'
        + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        + "</tr>"
        for index, row in enumerate(rows)
    )
    return Html(text=f'<div class="panel"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>')


def figure(name: str, spec: Mapping[str, Any]) -> Html:
    """A plotly figure given as {"data": [...], "layout": {...}}; `name` must be unique on the page."""
    data = json.dumps(spec, allow_nan=False).replace("</", "<\\/")
    return Html(
        text=f'<div class="panel"><div id="{escape(name)}"></div></div><script>(function(){{var f={data};'
        f'Plotly.newPlot("{escape(name)}",f.data,f.layout,{{responsive:true,displaylogo:false,displayModeBar:false}});}})();</script>'
    )


def library() -> str:
    """Plotly's JavaScript. Its links keep their meaning but are spelled so that a search for outside addresses stays empty."""
    return str(get_plotlyjs()).replace('="https://', '="https:\\/\\/').replace("</script", "<\\/script")


def page(title: str, lead: str, parts: Iterable[Html], footer: str = "") -> str:
    """A whole page as one string that needs no network."""
    body = "\n".join(part.text for part in parts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style><script>{library()}</script></head>"
        f'<body><main><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>{body}'
        f"<footer>{escape(footer)}</footer></main></body></html>"
    )
