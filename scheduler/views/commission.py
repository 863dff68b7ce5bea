"""The acceptance report as a page that carries its own signed JSON, and as lines on a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scheduler.views.page import CSS, Html, cards, escape, heading, paragraph, table

WORDS = {"passed": "passed", "failed": "failed", "notDone": "not done"}
CLASSES = {"passed": "ok", "failed": "bad", "notDone": "note"}
OPENS, CLOSES = '<script type="application/json" id="report">', "</script>"
ABOUT = (
    ("site", "site"), ("offtake", "contract"), ("protocol", "protocol"), ("address", "link at"), ("engineer", "done by"),
    ("began", "began"), ("ended", "ended"), ("version", "heat-dispatch"),
)  # fmt: skip


def line_of(check: Mapping[str, Any]) -> str:
    """One check in one line."""
    said = check["reason"] if check["result"] == "notDone" else check["measured"]
    why = f" ({check['reason']})" if check["result"] == "failed" else ""
    return f"{WORDS[check['result']]:>8}  {check['title']}: {said}{why}"


def commission_page(report: Mapping[str, Any]) -> str:
    """A page made from the signed report alone: the same report gives the same bytes."""
    counts, signature = report["counts"], report.get("signature")
    verdict = "accepted" if report["accepted"] else "not accepted"
    figures = [(verdict, "the link"), *((str(counts[key]), WORDS[key]) for key in WORDS)]
    about = [(label, str(report["about"].get(key) or "")) for key, label in ABOUT]
    rows = [
        (Html(text=f'<span class="{CLASSES[one["result"]]}">{WORDS[one["result"]]}</span>'),)
        + tuple(one[key] for key in ("title", "expected", "measured", "reason"))
        for one in report["checks"]
    ]
    sealed = "not signed" if signature is None else f"{signature['algorithm']}, key {signature['keyId']}: {signature['value']}"
    parts = (
        cards(figures),
        heading("What was checked"),
        table(("", "check", "expected", "measured", "why not"), rows, words=(1, 2, 3, 4)),
        heading("By whom, when and where"),
        table(("", ""), about, words=(1,)),
        heading("Signature"),
        paragraph(sealed),
        paragraph("heat-dispatch commission --verify FILE --key KEY tells whether this page is as it was made."),
        Html(text=OPENS + embedded(report) + CLOSES),
    )
    body = "\n".join(part.text for part in parts)
    title = f"Acceptance of the plant link of {report['about'].get('offtake', '')}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head>"
        f'<body><main><h1>{escape(title)}</h1><p class="lead">The link was {verdict}.</p>{body}</main></body></html>\n'
    )


def embedded(report: Mapping[str, Any]) -> str:
    """JSON that may stand in a page."""
    return json.dumps(report, allow_nan=False, sort_keys=True, ensure_ascii=True).replace("<", "\\u003c")


def report_in(page: str) -> str | None:
    """The JSON that a page carries; None: it carries none."""
    _, found, rest = page.partition(OPENS)
    text, closed, _ = rest.partition(CLOSES)
    return text if found and closed else None
