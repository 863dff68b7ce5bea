"""The leader's badge: a label on its own pod, by which the Service for heat plants finds the replica that speaks with them.

A door of its own: it has to come off when there is no term any more, and says nothing but what this replica believes. Where two
wear it for a moment, the plant link beside the one that does not lead says nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.errors import ApiError, NotFound
from scheduler.adapters.kubernetes.runtime.kinds import PODS
from scheduler.adapters.logs import Episode, Teller

LABEL = "heatdispatch.io/leads"
LOOK_S = 1.0


class Badge:
    """Worn while we lead; whoever does not lead takes it off, also one that a replica of the same pod wore before."""

    def __init__(self, client: KubeClient, namespace: str, pod: str, leads: Callable[[], bool]) -> None:
        """Of the pod with this name; `leads` says whether we do."""
        self._client, self._key, self._leads = client, (namespace, pod), leads
        self._worn: bool | None = None
        self._writing = Episode(Teller("operator.badge"), "labelling our own pod")

    def run(self, stopping: threading.Event) -> None:
        """Look once a second; take it off in the end."""
        while not stopping.is_set():
            self.show(self._leads())
            stopping.wait(LOOK_S)
        self.show(False)

    def show(self, wanted: bool) -> None:
        """Make the label say so, if it does not already."""
        if wanted == self._worn:
            return
        # A merge patch: null takes the label away, and is nothing where there is none.
        change = {"metadata": {"labels": {LABEL: "true" if wanted else None}}}
        try:
            self._client.amend(PODS, self._key, change)
        except NotFound:
            # We are no pod of this namespace: nobody looks for us by a label.
            pass
        except ApiError as error:
            self._writing.failed(error)
            return
        self._worn = wanted
        self._writing.worked()
