"""What an acceptance run cannot do itself: stop and start things. A person does it, or a command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

COMMAND_S = 120.0


class Hands(Protocol):
    """Whoever can do what is asked."""

    async def do(self, what: str, command: Sequence[str] | None) -> str:
        """Have something done; returns why it was not, empty when it was."""
        ...

    async def number(self, what: str) -> float | None:
        """Have something read; None: nobody can."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Asks at the terminal; runs the command where there is one."""

    say: Callable[[str], None]
    read: Callable[[str], str]

    async def do(self, what: str, command: Sequence[str] | None) -> str:
        """As the protocol says."""
        if command is not None:
            self.say(f"{what}: {' '.join(command)}")
            return await run(command)
        answer = await asyncio.to_thread(self.read, f"{what}, then press Enter (s: leave this out) ")
        return "left out by the engineer" if answer.strip().lower() == "s" else ""

    async def number(self, what: str) -> float | None:
        """As the protocol says."""
        while True:
            answer = (await asyncio.to_thread(self.read, f"{what} (s: leave this out) ")).strip().lower()
            if answer == "s":
                return None
            try:
                return float(answer.replace(",", "."))
            except ValueError:
                self.say("a number, please")


@dataclass(frozen=True, slots=True, kw_only=True)
class Nobody:
    """No person is there (`--yes`): only commands are run."""

    say: Callable[[str], None]

    async def do(self, what: str, command: Sequence[str] | None) -> str:
        """As the protocol says."""
        if command is None:
            return "needs a person or a command, and this run had neither"
        self.say(f"{what}: {' '.join(command)}")
        return await run(command)

    async def number(self, what: str) -> float | None:
        """As the protocol says."""
        return None


async def run(command: Sequence[str]) -> str:
    """Run a command without a shell; returns why it failed, empty when it did not."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    try:
        async with asyncio.timeout(COMMAND_S):
            code = await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"{command[0]}: took longer than {COMMAND_S:g} s"
    return f"{command[0]}: exit code {code}" if code else ""
