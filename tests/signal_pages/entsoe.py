"""ENTSO-E: a Publication_MarketDocument with a series per day and auction, curve A03, or an Acknowledgement_MarketDocument."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from signal_peer import Page, Routes

from scheduler.domain.observed import PRICE
from signal_pages.made import BRUSSELS, midnight, published_until, slots, wave

OPTIONS: dict[str, dict[str, str]] = {PRICE: {"area": "DE-LU"}}
CREDENTIALS = {"securityToken": "not-a-real-token"}
UNITS = {PRICE: "EUR/MWh"}
STEP_S = 900
GERMANY = "10Y1001A1001A82H"
NAMESPACE = "urn:iec62325.351:tc57wg16:451-3:publicationdocument:7:3"
# How far the second auction is off the first; nobody may take it.
OTHER_AUCTION = 1000.0
Points = Iterable[tuple[int, float | str]]


def value_at(quantity: str, at_utc: datetime) -> float:
    return wave(at_utc, STEP_S, middle=65.0, swing=75.0)


def period(start: datetime, end: datetime, points: Points, resolution: str = "PT15M") -> str:
    """A period of points by position."""
    told = "".join(
        f"<Point>\n<position>{place}</position>\n<price.amount>{value}</price.amount>\n</Point>\n" for place, value in points
    )
    interval = f"<timeInterval>\n<start>{start:%Y-%m-%dT%H:%MZ}</start>\n<end>{end:%Y-%m-%dT%H:%MZ}</end>\n</timeInterval>\n"
    return f"<Period>\n{interval}<resolution>{resolution}</resolution>\n{told}</Period>\n"


def series(
    *periods: str,
    sequence: int | None = 1,
    curve: str = "A03",
    contract: str = "A01",
    unit: str = "EUR/MWH",
    zone: str = GERMANY,
) -> str:
    """A series; sequence None leaves it out, as for zones with one auction."""
    currency, energy = unit.split("/")
    name = "classificationSequence_AttributeInstanceComponent.position"
    numbered = "" if sequence is None else f"<{name}>{sequence}</{name}>\n"
    return (
        "<TimeSeries>\n<mRID>1</mRID>\n<auction.type>A01</auction.type>\n<businessType>A62</businessType>\n"
        f'<in_Domain.mRID codingScheme="A01">{zone}</in_Domain.mRID>\n'
        f'<out_Domain.mRID codingScheme="A01">{zone}</out_Domain.mRID>\n'
        f"<contract_MarketAgreement.type>{contract}</contract_MarketAgreement.type>\n"
        f"<currency_Unit.name>{currency}</currency_Unit.name>\n<price_Measure_Unit.name>{energy}</price_Measure_Unit.name>\n"
        f"{numbered}<curveType>{curve}</curveType>\n{''.join(periods)}</TimeSeries>\n"
    )


def document(*all_series: str) -> bytes:
    """A document of some series."""
    head = "<mRID>made</mRID>\n<revisionNumber>1</revisionNumber>\n<type>A44</type>\n"
    body = f'<Publication_MarketDocument xmlns="{NAMESPACE}">\n{head}{"".join(all_series)}</Publication_MarketDocument>\n'
    return f'<?xml version="1.0" encoding="utf-8"?>\n{body}'.encode()


def acknowledgement(code: str, text: str) -> bytes:
    """A refusal, or the word that there is nothing."""
    reason = f"<Reason>\n<code>{code}</code>\n<text>{text}</text>\n</Reason>\n"
    body = f"<mRID>made</mRID>\n<createdDateTime>2026-03-11T06:29:10Z</createdDateTime>\n{reason}"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Acknowledgement_MarketDocument '
        f'xmlns="urn:iec62325.351:tc57wg16:451-1:acknowledgementdocument:7:0">\n{body}</Acknowledgement_MarketDocument>\n'
    ).encode()


def changes(values: list[float]) -> list[tuple[int, float]]:
    """Positions and values without those that repeat the one before, as curve A03 has them."""
    return [(at + 1, value) for at, value in enumerate(values) if at == 0 or value != values[at - 1]]


def day_of(start: datetime, end: datetime, value: Callable[[datetime], float]) -> str:
    """A local day in quarter hours."""
    return period(start, end, changes([value(at) for at in slots(start, end, STEP_S)]))


def routes(now_utc: datetime) -> Routes:
    def api(query: Mapping[str, str]) -> Page:
        xml = {"Content-Type": "text/xml"}
        if query.get("securityToken") != CREDENTIALS["securityToken"]:
            return 401, xml, acknowledgement("999", "Unauthorized. Missing or invalid security token.")
        asked, last = (
            datetime.strptime(query[name], "%Y%m%d%H%M").replace(tzinfo=UTC) for name in ("periodStart", "periodEnd")
        )
        last = min(last, published_until(now_utc))
        days: list[str] = []
        start = asked
        while start < last:
            end = midnight(start + timedelta(hours=2), BRUSSELS, 1)
            other = day_of(start, end, lambda at: round(value_at(PRICE, at) + OTHER_AUCTION, 2))
            ours = day_of(start, end, lambda at: value_at(PRICE, at))
            days += [series(other, sequence=2, zone=query["in_Domain"]), series(ours, zone=query["in_Domain"])]
            start = end
        if not days:
            return 200, xml, acknowledgement("999", "No matching data found for Data item ENERGY_PRICES [12.1.D].")
        return 200, xml, document(*days)

    return {"/api": api}
