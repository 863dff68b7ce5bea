"""When one job ends all end, also one that does not hear the first time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from scheduler.adapters.plantlink import together


async def _deaf(ears: list[str]) -> None:
    """Forgets the first cancellation, as `asyncio.wait_for` of Python 3.11 may."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    ears.append("once")
    await asyncio.Event().wait()


async def _fails() -> None:
    await asyncio.sleep(0.0)
    raise ValueError("broken")


def test_the_end_of_one_is_the_end_of_all_and_its_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "AGAIN_S", 0.01)
    ears: list[str] = []
    with pytest.raises(ValueError, match="broken"):
        asyncio.run(together.until_one_ends(_deaf(ears), _fails(), asyncio.sleep(60.0)))
    assert ears == ["once"]


def test_whoever_cancels_all_waits_until_they_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "AGAIN_S", 0.01)
    ears: list[str] = []

    async def story() -> None:
        task = asyncio.create_task(together.until_one_ends(_deaf(ears), asyncio.sleep(60.0)))
        await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(story())
    assert ears == ["once"]
