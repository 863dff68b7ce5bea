"""Setters of one machine take turns: who sets limits, who follows, and who is about to end.

Locks end with their holders, however those end. One in charge that ends says so first, and then leaves its caps only to one
that has announced itself. One that has, and is to end too, takes that back first, and then looks whether the other one had said
that it ends. So of two that end at the same time one sees to the caps: either the one in charge finds nobody to leave them to,
or the one that waits finds that it ends, and waits for its turn.
"""

from __future__ import annotations

import fcntl

from scheduler.domain.errors import Misconfigured


class Turns:
    """The three locks of a journal's folder, on descriptors that the guardian shares with each of its workers."""

    def __init__(self, folder: int, follower: int, ending: int) -> None:
        """Take the descriptors; -1 for one of the latter two when it cannot be opened.

        Args:
            folder: locked by who is in charge.
            follower: locked by who waits and can take over.
            ending: locked by who is in charge and is to end.
        """
        self._folder, self._follower, self._ending = folder, follower, ending

    def take(self) -> bool:
        """Be in charge, if nobody else is."""
        return _locked(self._folder)

    def leave(self) -> None:
        """Let somebody else be in charge."""
        fcntl.flock(self._folder, fcntl.LOCK_UN)

    def announce(self) -> bool:
        """Say that we wait and can take over what the one in charge leaves, if nobody else does."""
        return self._follower >= 0 and self._ending >= 0 and _locked(self._follower)

    def settle(self) -> None:
        """Wait no more, and have no thought of ending either: a worker before this one may have."""
        for descriptor in (self._follower, self._ending):
            if descriptor >= 0:
                fcntl.flock(descriptor, fcntl.LOCK_UN)

    def end(self) -> bool:
        """Say that we, in charge, end; False where it cannot be said, and then nothing may be left to anybody."""
        return self._ending >= 0 and _locked(self._ending)

    def other_ends(self) -> bool:
        """Whether the one in charge has said that it ends."""
        if self._ending < 0:
            return False
        if not _locked(self._ending):
            return True
        fcntl.flock(self._ending, fcntl.LOCK_UN)
        return False

    def followed(self) -> bool:
        """Whether somebody waits who can take over."""
        if self._follower < 0:
            return False
        if not _locked(self._follower):
            return True
        fcntl.flock(self._follower, fcntl.LOCK_UN)
        return False


def _locked(descriptor: int) -> bool:
    """Lock, if nobody else has.

    Raises:
        Misconfigured: where the file system knows no locks: two setters could be in charge.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise Misconfigured(
            f"cannot be locked: {error.strerror}", where="the journal's folder", expected="a file system of this machine"
        ) from error
    return True
