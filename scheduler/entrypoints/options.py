"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ScenarioDir = Annotated[Path | None, typer.Option("--scenario", help="Folder with series.csv, jobs.csv and scenario.json.")]
SiteDir = Annotated[
    Path | None, typer.Option("--site", "-f", metavar="DIR", help="Manifests of the site [default: the reference site].")
]
SeriesFile = Annotated[Path | None, typer.Option("--series", help="series.csv, to give a scenario in parts.")]
SeriesSeed = Annotated[
    int | None,
    typer.Option(
        "--generate-series", min=0, metavar="SEED", help="Make prices, weather and heat demand up (instead of --series)."
    ),
]
JobsFile = Annotated[Path | None, typer.Option("--jobs", help="jobs.csv (with --series).")]
JobsSeed = Annotated[
    int | None, typer.Option("--generate-jobs", min=0, metavar="SEED", help="Make jobs up (instead of --jobs).")
]
Start = Annotated[
    str | None,
    typer.Option(
        "--start", metavar="UTC", help="First instant, ISO 8601 with offset [default: that of the series; a week of January]."
    ),
]
Days = Annotated[
    int | None,
    typer.Option("--days", min=1, max=400, help="Days in which jobs arrive [default: all of the series, 7 made-up ones]."),
]
Gpus = Annotated[int | None, typer.Option("--gpus", min=1, help="GPUs of the site (with --series) [default: 256].")]
HeatPeak = Annotated[
    float | None,
    typer.Option("--heat-peak-kw", min=0.001, help="Peak of the heat demand, sizes the tank [default: 0.4 kW per GPU]."),
]
TimeZone = Annotated[
    str | None, typer.Option("--time-zone", metavar="ZONE", help="Zone of gates and price days (with --series) [default: UTC].")
]
JsonFile = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - is standard output.")]
HtmlFile = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a self-contained page.")]
CycleMinutes = Annotated[int, typer.Option("--cycle-minutes", min=15, max=240, help="Minutes between plans.")]
Workers = Annotated[int, typer.Option("--workers", min=1, max=64, help="Runs side by side.")]
AllowedHosts = Annotated[
    list[str] | None,
    typer.Option(
        "--allowed-host",
        "--allow-host",
        metavar="HOST",
        envvar="HEAT_DISPATCH_ALLOWED_HOSTS",
        help="Of the internet's hosts sources may ask this one, or *.example.org; may be given more than once "
        "[default: the providers' own].",
    ),
]
InsideHosts = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HOST",
        envvar="HEAT_DISPATCH_INSIDE_HOSTS",
        help="Sources may ask this host of your own network or machine too, HOST or HOST:PORT, by http as well.",
    ),
]
SignalFiles = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        envvar="HEAT_DISPATCH_SIGNAL_FILES",
        help="Folder of the files that sources may name (`file` of csv_feed and json_feed) [default: none].",
    ),
]
Contact = Annotated[
    str, typer.Option(envvar="HEAT_DISPATCH_CONTACT", help="Your address of mail or web, told to every host that is asked.")
]
Rates = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar="HEAT_DISPATCH_RATES",
        help="Exchange rates: lines as `DKK: 7.46`, or the European Central Bank's eurofxref-daily.xml.",
    ),
]
