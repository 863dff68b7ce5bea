"""Jobs whose processes really run, and what they write while they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.kwok import GPU
from scheduler.adapters.devcluster.realnode.images import BUSYBOX

STATE = "/state"
GRACE_S = 20
# Units of work, one after the other. What is done is told at once; how far it is, is saved on SIGTERM and at no other time. So
# a process that is killed without a word, or before it has saved, does some units a second time.
TRAINING = """
cd /state/$JOB_COMPLETION_INDEX
done=$(cat checkpoint 2>/dev/null || echo 0)
echo "began after $done at $(date -u +%FT%TZ)" >> life
trap 'told=yes' TERM
while [ $done -lt $(cat units) ]; do
  if [ "$told" ]; then
    echo $done > checkpoint.part && mv checkpoint.part checkpoint
    echo "saved $done at $(date -u +%FT%TZ)" >> life
    exit 143
  fi
  usleep 200000
  done=$((done + 1))
  echo $done >> told
done
echo "finished after $done at $(date -u +%FT%TZ)" >> life
"""
# Looks at the clock five times a second, and says what it saw.
CLOCK = """
cd /state/$JOB_COMPLETION_INDEX
echo "began at $(date -u +%FT%TZ)" >> life
trap 'echo "SIGTERM at $(date -u +%FT%TZ)" >> life' TERM
while [ ! -e enough ]; do date +%s >> told; usleep 200000; done
echo "finished at $(date -u +%FT%TZ)" >> life
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealJob:
    """A Job of processes that keep their state in a folder of the node, a subfolder for each index."""

    name: str
    class_name: str | None
    script: str
    folder: Path
    units: tuple[int, ...] = (0,)

    def made(self) -> Object:
        """The object; one of a class is held at its creation, as the admission policy does."""
        for index, units in enumerate(self.units):
            (self.folder / str(index)).mkdir(parents=True, exist_ok=True)
            self.want(index, units)
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": self.name, **self._marks()},
            "spec": {
                "suspend": self.class_name is not None,
                "completionMode": "Indexed",
                "completions": len(self.units),
                "parallelism": len(self.units),
                "backoffLimit": 0,
                "podReplacementPolicy": "Failed",
                "template": {"spec": self._pod()},
            },
        }

    def _marks(self) -> Mapping[str, Object]:
        if self.class_name is None:
            return {}
        held = {"heatdispatch.io/held-by": "admission", "heatdispatch.io/expected-duration": "12h"}
        return {"labels": {"heatdispatch.io/class": self.class_name}, "annotations": held}

    def _pod(self) -> Object:
        return {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": GRACE_S,
            "volumes": [{"name": "state", "hostPath": {"path": str(self.folder)}}],
            "containers": [
                {
                    "name": "train",
                    "image": BUSYBOX,
                    "imagePullPolicy": "Never",
                    "args": [self.script],
                    "volumeMounts": [{"name": "state", "mountPath": STATE}],
                    "resources": {"requests": {GPU: "1", "cpu": "50m"}, "limits": {GPU: "1"}},
                }
            ],
        }

    def told(self, index: int = 0) -> list[int]:
        """Numbers that a process has told."""
        return [int(line) for line in self._lines(index, "told")]

    def life(self, index: int = 0) -> list[tuple[str, datetime]]:
        """What a process has been through, with the second in which it was."""
        parts = (line.rpartition(" at ") for line in self._lines(index, "life"))
        return [(what, datetime.fromisoformat(at)) for what, _, at in parts]

    def want(self, index: int, units: int) -> None:
        """Change how many units a process is to do; it looks before each."""
        (self.folder / str(index) / "units").write_text(str(units), encoding="utf-8")

    def enough(self) -> None:
        """Let a clock end."""
        (self.folder / "0" / "enough").touch()

    def _lines(self, index: int, name: str) -> list[str]:
        path = self.folder / str(index) / name
        return path.read_text("utf-8").splitlines() if path.exists() else []
