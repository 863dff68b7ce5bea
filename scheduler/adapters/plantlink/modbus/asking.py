"""Letters as registers that a plant writes: the way back of `writes.body_of`."""

from __future__ import annotations

from scheduler.adapters.plantlink.modbus.registers import ANSWER, BEAT, OVERRIDE, REQUEST, VERDICT_CODES, Block
from scheduler.adapters.plantlink.modbus.words import Value, block_bytes
from scheduler.domain.plantlink import Acknowledgement, AckVerdict, HeatRequest, LetterBody, ManualOverride, PlantHeartbeat

# The registers of each letter.
BLOCKS: dict[type[LetterBody], Block] = {
    PlantHeartbeat: BEAT,
    HeatRequest: REQUEST,
    ManualOverride: OVERRIDE,
    Acknowledgement: ANSWER,
}
COMMIT = 1


def why_not(body: LetterBody) -> str:
    """Why Modbus has no place for a letter; empty when it has."""
    if type(body) not in BLOCKS:
        return "Modbus carries heartbeats, requests, overrides and answers; for this use REST, OPC UA or MQTT"
    if isinstance(body, Acknowledgement) and body.verdict is AckVerdict.ACCEPTED:
        return "Modbus knows no credentials: to accept a schedule use REST, OPC UA or MQTT"
    return ""


def registers_of(body: LetterBody, swapped: bool) -> tuple[int, list[int]]:
    """Address and words of one request that writes a letter for which `why_not` is empty; swapped: low word first."""
    block = BLOCKS[type(body)]
    data = block_bytes(block, _values(body), swapped)
    return block.start, [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


def _values(body: LetterBody) -> dict[str, Value]:
    match body:
        case PlantHeartbeat():
            return {"counter": body.counter}
        case HeatRequest():
            start, end = int(body.start_utc.timestamp()), int(body.end_utc.timestamp())
            return {"heatKw": body.heat_kw, "start": start, "end": end, "commit": COMMIT}
        case ManualOverride():
            return {"limitKw": body.limit_kw, "commit": COMMIT}
        case Acknowledgement():
            verdict = VERDICT_CODES[body.verdict]
            return {"sequence": body.sequence, "acceptedKw": body.accepted_kw, "verdict": verdict, "commit": COMMIT}
        case _:
            raise TypeError(f"{type(body).__name__} has no registers")
