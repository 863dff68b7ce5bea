"""The class of a job: its own label, else its namespace's, else the one WorkloadClass whose selector finds it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from scheduler.adapters.kubernetes.marks import CLASS, QUEUE, Problem, shown
from scheduler.adapters.kubernetes.objects import Obj, at, labels_of, name_of, namespace_of, parts, texts

INSULATED = "insulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Jobs of a class that carry no label; all that is given must hold, and nothing given finds nothing."""

    class_name: str
    namespaces: frozenset[str] = frozenset()
    queues: frozenset[str] = frozenset()
    match_labels: Mapping[str, str] = field(default_factory=dict)

    def finds(self, job: Obj, queue: str) -> bool:
        """Whether the selector means a job."""
        given = labels_of(job)
        return (
            bool(self.namespaces or self.queues or self.match_labels)
            and (not self.namespaces or namespace_of(job) in self.namespaces)
            and (not self.queues or queue in self.queues)
            and all(given.get(key) == value for key, value in self.match_labels.items())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The class of a job, and why it is insulated where its owner may have wanted something else."""

    class_name: str
    problem: Problem | None = None


def selectors_of(workload_classes: Iterable[Obj]) -> tuple[Selector, ...]:
    """Selectors of WorkloadClass objects."""
    return tuple(
        Selector(
            class_name=name_of(each),
            namespaces=_names(selector, "namespaces"),
            queues=_names(selector, "queues"),
            match_labels=texts(selector, "matchLabels"),
        )
        for each in workload_classes
        for selector in parts(each, "spec", "selectors")
    )


def choose_class(job: Obj, namespace: Obj, selectors: Iterable[Selector], known: Collection[str], queue: str = "") -> Choice:
    """Find the class of a job.

    Args:
        job: a Job or a Workload.
        namespace: its Namespace; empty when it is not known.
        selectors: of all WorkloadClasses.
        known: names of all WorkloadClasses.
        queue: its Kueue LocalQueue; without one the label of the job is read.
    """
    for place, given in (("the job", labels_of(job)), (f"namespace {namespace_of(job)}", labels_of(namespace))):
        if CLASS in given:
            return _labelled(given[CLASS], place, known)
    found = sorted({each.class_name for each in selectors if each.finds(job, queue or labels_of(job).get(QUEUE, ""))})
    if len(found) > 1:
        text = f"selectors of the WorkloadClasses {' and '.join(found)} both find the job; label it {CLASS}=CLASS to decide"
        return Choice(class_name=INSULATED, problem=Problem(reason="AmbiguousClass", text=text))
    return _labelled(found[0], "the selector", known) if found else Choice(class_name=INSULATED)


def _labelled(name: str, place: str, known: Collection[str]) -> Choice:
    """A class that must exist."""
    if name in known or name == INSULATED:
        return Choice(class_name=name)
    near = get_close_matches(name, list(known), n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(known)) or 'none'}"
    text = f"{place} asks for class {shown(name)}, and there is no such WorkloadClass{hint}"
    return Choice(class_name=INSULATED, problem=Problem(reason="UnknownClass", text=text))


def _names(selector: Obj, key: str) -> frozenset[str]:
    """Names of a selector's list."""
    found = at(selector, key)
    return frozenset(each for each in found if isinstance(each, str)) if isinstance(found, list | tuple) else frozenset()
