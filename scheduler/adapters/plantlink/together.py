"""Jobs that belong together: when one ends, all do."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

AGAIN_S = 0.5


async def until_one_ends(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run jobs together until the first ends, and end the others; raises what it raised.

    A job is cancelled again and again until it has ended: `asyncio.wait_for` of Python 3.11 forgets a cancellation that comes
    together with what it waited for, and a connection whose end is waited for in vain would never be made anew.
    """
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _ended(tasks)
    for task in ended:
        task.result()


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    """End tasks; whoever cancels us meanwhile is heard when they have ended."""
    cancelled = False
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        try:
            await asyncio.wait(pending, timeout=AGAIN_S)
        except asyncio.CancelledError:
            cancelled = True
    for task in tasks:
        if not task.cancelled():
            task.exception()
    if cancelled:
        raise asyncio.CancelledError
