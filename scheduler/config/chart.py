"""The values of the Helm chart: their schema, which refuses a typo, and the table of the chart's README."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field

from scheduler.config.kinds import KINDS
from scheduler.config.kinds.base import Part, about
from scheduler.config.schemas import crd_yaml

CHART = PurePosixPath("helm/heat-dispatch")
MARK = "Generated from scheduler/config/chart.py by scripts/generate.py; do not edit."
# Helm 3 reads draft 7, Helm 4 that one too.
DRAFT = "http://json-schema.org/draft-07/schema#"
MAX_REPLICAS = 3

Switch = Literal["auto", True, False]
Object = dict[str, Any]
Text = Annotated[str, Field(max_length=1024)]
DnsName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
DnsNameOrNone = Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Image(Part):
    """The one image."""

    repository: Annotated[str, Field(min_length=1)] = about("Where it is.")
    tag: Text = about("Empty: the chart's appVersion.")
    digest: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")] = about("Goes before a tag.")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = about("When a node fetches it.")
    pull_secrets: list[DnsName] = about("Secrets of the registry.")


class Crds(Part):
    """The kinds."""

    enabled: bool = about("Install and upgrade them.")
    keep: bool = about("Keep them, and what was stated in them, when the chart goes.")


class Admission(Part):
    """Admission policies."""

    hold_new_jobs: Switch = about("Hold new Jobs at their creation while a policy is in mode Dispatch; takes Kubernetes 1.36.")


class Resources(Part):
    """As Kubernetes has them."""

    requests: Object = about("What is kept free for it.", default_factory=dict)
    limits: Object = about("What it may take at most.", default_factory=dict)


class LivePage(Part):
    """The live page."""

    enabled: bool = about("Serve it inside the operator's pod, for who may forward ports to it; read-only.")
    port: Port = about("Of that pod's loopback address.")


class Operator(Part):
    """The operator."""

    replicas: int = about("One leads, the others wait; more than one needs `ledger.postgres`.", ge=1, le=MAX_REPLICAS)
    log_format: Literal["json", "text"] = about("Of the log.")
    allowed_hosts: list[Text] = about("Hosts of the internet that sources may ask; none: the providers' own.")
    inside_hosts: list[Text] = about("Hosts of your own network that sources may ask too.")
    contact: Text = about("Your address of mail or web, told to every host that is asked.")
    signal_secrets: list[DnsName] = about("Secrets of the release's namespace that policies may name in `secretRef`.")
    lease_namespace: DnsName = about("Where the Lease is by which all operators of a cluster agree who leads.")
    live_page: LivePage = about("The live page.")
    extra_args: list[Text] = about("Further options, see `heat-dispatch operator --help`.")
    resources: Resources = about("Processor and memory; the plan of 5,000 jobs takes some 350 MB beside the operator's 300.")
    priority_class_name: DnsNameOrNone = about("Priority of the pod.")
    node_selector: dict[str, str] = about("Nodes that it may run on.")
    tolerations: list[Object] = about("Taints that it bears.")
    affinity: Object = about("As Kubernetes has it; none: replicas on different nodes.")
    pod_annotations: dict[str, str] = about("Annotations of the pod.")
    pod_labels: dict[str, str] = about("Labels of the pod.")


class Postgres(Part):
    """A PostgreSQL database."""

    secret_name: DnsNameOrNone = about("Secret with its URL; empty: SQLite on a volume.")
    key: Annotated[str, Field(min_length=1)] = about("Key of the URL in it.")


class Persistence(Part):
    """The volume of SQLite, and of what sources told."""

    enabled: bool = about("Without it both are forgotten with the pod.")
    existing_claim: DnsNameOrNone = about("A claim that is there; empty: one is made, and kept when the chart goes.")
    storage_class: DnsNameOrNone = about("Empty: the cluster's default.")
    size: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?([KMGT]i?)$")] = about("A year of quarter hours takes some 100 MB.")


class Ledger(Part):
    """Where the ledger is."""

    postgres: Postgres = about("PostgreSQL.")
    persistence: Persistence = about("SQLite.")


class PlantService(Part):
    """How plants reach the link."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = about("Kind of the Service; it selects the leader's pod.")
    annotations: dict[str, str] = about("Annotations of the Service.")
    ports: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,14}$")], Port] = about(
        "Port of each interface, by its name: `rest: 8443`, `modbus: 1502`, `opcua: 4840`."
    )


class PlantLink(Part):
    """How heat plants speak with us."""

    enabled: bool = about("Off: plans are made and nobody outside is told.")
    config: Object = about("Contents of `link.yaml`.")
    secrets: list[DnsName] = about("Secrets, each mounted at `/etc/heat-dispatch/link/NAME`.")
    service: PlantService = about("How plants reach it.")
    resources: Resources = about("Processor and memory.")


class Token(Part):
    """Token of the telemetry."""

    existing_secret: DnsNameOrNone = about("Secret with the key `token` in both namespaces; empty: one is made and kept.")


class AgentTls(Part):
    """https of the agents."""

    secret_name: DnsNameOrNone = about("Secret of type kubernetes.io/tls in the agents' namespace; empty: http.")
    ca_config_map: DnsNameOrNone = about("ConfigMap of the operator's namespace with its authority under `ca.crt`.")


class Agent(Part):
    """The agent of a GPU node."""

    enabled: bool = about("Off: nothing is capped; the operator may read DCGM instead (`operator.extraArgs`).")
    namespace: DnsName = about("A namespace of its own, which nobody else may make pods in.")
    create_namespace: bool = about("Make it.")
    dry_run: bool = about("Measure, and say what would be set.")
    gpus: Annotated[str, Field(min_length=1)] = about("GPUs that may be capped: `all`, or uuids parted by commas.")
    backend: Literal["nvml", "simulated"] = about("`simulated`: pretended GPUs, for a cluster that has none.")
    node_selector: dict[str, str] = about("Nodes that take part.")
    tolerations: list[Object] = about("All taints: an agent that is evicted gives all limits back.")
    runtime_class_name: DnsNameOrNone = about("Brings the driver's library in; empty where that is the default runtime.")
    device_list_strategy: Literal["envvar", "volumeMounts"] = about("How the runtime is told which GPUs to bring in.")
    priority_class_name: DnsNameOrNone = about("Priority of the pod.")
    token: Token = about("Token of the telemetry.")
    tls: AgentTls = about("https.")
    max_surge: Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^([1-9][0-9]?|100)%$")] = about(
        "New agents beside old ones in a rollout, at once; a percentage for large clusters."
    )
    extra_setter_args: list[Text] = about("Further options of setter and standby, see `heat-dispatch agent-setter --help`.")
    resources: Resources = about("Processor and memory of the measuring container.")


class StaleHolds(Part):
    """The clean-up of holds."""

    enabled: bool = about("Let go of what is held beyond its end, also while no operator runs.")
    schedule: Annotated[str, Field(pattern=r"^(\S+ ){4}\S+$")] = about("When, as cron has it.")


class Uninstall(Part):
    """What happens before the chart goes."""

    enabled: bool = about("Let go of every hold and cap first.")
    timeout_seconds: Annotated[int, Field(ge=30, le=3600)] = about("For so long.")


class NetworkRules(Part):
    """Who may reach whom."""

    enabled: bool = about("NetworkPolicies for operator and agents.")
    metrics_from: dict[str, str] = about("Labels of the namespaces that may read metrics; none: any namespace.")


class Disruption(Part):
    """Disruption budget."""

    enabled: bool = about("Keep one replica through drains; only made with more than one.")


class Monitoring(Part):
    """Prometheus operator."""

    pod_monitor: Switch = about("PodMonitors; auto: where the cluster knows them.")
    prometheus_rule: Switch = about("Recording rules and alerts; without that operator load `files/rules.yaml`.")
    labels: dict[str, str] = about("Labels by which your Prometheus finds them.")
    interval: Annotated[str, Field(pattern=r"^[0-9]+(s|m)$")] = about("Between two scrapes.")
    dashboards: bool = about("Dashboards as ConfigMaps.")
    dashboard_labels: dict[str, str] = about("Labels by which Grafana's sidecar finds them.")


class ChartValues(Part):
    """All values of the chart."""

    name_override: Text = about("In place of the chart's name.")
    fullname_override: Text = about("In place of release and chart name.")
    image: Image = about("The one image.")
    crds: Crds = about("The kinds.")
    admission: Admission = about("Admission policies.")
    operator: Operator = about("The operator.")
    ledger: Ledger = about("Where the ledger is.")
    plant_link: PlantLink = about("How heat plants speak with us.")
    agent: Agent = about("The agent of a GPU node.")
    stale_holds: StaleHolds = about("The clean-up of holds.")
    uninstall: Uninstall = about("What happens before the chart goes.")
    network_policy: NetworkRules = about("Who may reach whom.")
    pod_disruption_budget: Disruption = about("Disruption budget.")
    monitoring: Monitoring = about("Prometheus operator.")
    extra_objects: list[Object] = about("Any further objects, as they are.")
    global_: Object = Field(description="Helm's own.", default_factory=dict, alias="global")


def generated(root: Path) -> dict[PurePosixPath, str]:
    """Every generated file of the chart: path from the root of the repository -> text."""
    values = yaml.safe_load((root / CHART / "values.yaml").read_text("utf-8"))
    hold = (root / "policies/admission/hold-new-jobs.yaml").read_text("utf-8")
    status = (root / "manifests/agent/admission.yaml").read_text("utf-8")
    files = {
        CHART / "values.schema.json": json.dumps(values_schema(), indent=1) + "\n",
        CHART / "README.md": readme(values),
        # Read by .Files.Get, so that nothing in them is taken for a template.
        CHART / "files/hold-new-jobs.yaml": f"# {MARK}\n{hold}",
        CHART / "files/nodepower-status.yaml": f"# {MARK}\n{status}",
    }
    return files | {CHART / f"templates/crds/{kind.plural}.yaml": crd_template(crd_yaml(kind)) for kind in KINDS.values()}


def values_schema() -> dict[str, Any]:
    """JSON Schema of the values; Helm checks every install and upgrade against it."""
    schema = ChartValues.model_json_schema(by_alias=True)
    sqlite = {"ledger": {"properties": {"postgres": {"properties": {"secretName": {"const": ""}}}}}}
    one = {
        "operator": {"properties": {"replicas": {"const": 1, "description": "SQLite is one machine's: see ledger.postgres"}}}
    }
    return {"$schema": DRAFT, "$comment": MARK, **schema, "if": {"properties": sqlite}, "then": {"properties": one}}


def crd_template(text: str) -> str:
    """A CustomResourceDefinition as a template: installed and upgraded by Helm, and kept by it where that is wished."""
    head, kept = "metadata:\n", "  annotations:\n    helm.sh/resource-policy: keep\n"
    if text.count(f"\n{head}") != 1 or "{{" in text:
        raise ValueError("crd_template: one metadata and no braces of templates are expected")
    text = text.replace(f"\n{head}", f"\n{head}{{{{- if .Values.crds.keep }}}}\n{kept}{{{{- end }}}}\n")
    return f"{{{{- if .Values.crds.enabled }}}}\n{text}{{{{- end }}}}\n"


def readme(values: Mapping[str, Any]) -> str:
    """README of the chart: every value, its default and what it is for."""
    rows = "\n".join(f"| `{path}` | `{_shown(value)}` | {text} |" for path, value, text in _rows(ChartValues, values, ""))
    return README.format(mark=MARK, rows=rows)


def _rows(model: type[BaseModel], values: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any, str]]:
    """Path, default and description of every value, in the model's order."""
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key == "global":
            continue
        path, kind = f"{before}{key}", field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not Resources:
            yield from _rows(kind, values[key], f"{path}.")
        else:
            yield path, values[key], field.description or ""


def _shown(value: Any) -> str:
    """A default in one line."""
    return json.dumps(value, separators=(", ", ": ")).replace("|", "\\|")


README = """<!-- {mark} -->
# heat-dispatch

Runs a GPU cluster as a dispatchable heat plant: an operator that plans jobs, power caps and heat sales, and an agent on each
GPU node that takes part. After the installation nothing is held or capped: policies begin in mode Observe, agents as a dry run.

    helm install heat-dispatch helm/heat-dispatch --namespace heat-dispatch --create-namespace
    kubectl label node NODE heatdispatch.io/agent=enabled

What stands in `values.schema.json` is checked: a value that is misspelt or impossible is refused before anything changes.
More than one replica takes PostgreSQL. `helm uninstall` first ends every hold and every cap; it keeps the kinds and the ledger.

| value | default | |
|---|---|---|
{rows}
"""
