"""Every metric of a node's agent. A label is a GPU's uuid, a kind of few, or a reason of few; never a pod."""

from __future__ import annotations

from scheduler.adapters.metrics.catalog import Metric, counter, gauge

GPUS = (
    gauge("agent_gpu_power_watts", "Draw of a GPU: a mean of a second on most, see docs/agent.md.", "gpu"),
    counter("agent_gpu_energy_joules_total", "Energy of a GPU since the agent's start, over resets of its counter.", "gpu"),
    counter(
        "agent_gpu_energy_resets_total",
        "How often a GPU's energy counter fell back or jumped; mean power counted instead. Each load of the driver is one.",
        "gpu",
    ),
    counter("agent_gpu_silent_seconds_total", "Time of which no energy is known: neither counter nor power was read.", "gpu"),
    gauge(
        "agent_gpu_power_limit_watts",
        "Power limit of a GPU by kind: requested, enforced (lower where somebody limits out of band), default, min, max; while "
        "a cap is in force also original (what comes back) and cap.",
        "gpu",
        "kind",
    ),
    counter(
        "agent_gpu_capped_seconds_total", "Time in which its power limit, whoever set it, held a GPU's clocks back.", "gpu"
    ),
    gauge(
        "agent_gpu_clocks_held_back",
        "1 while a GPU's clocks are below what they could be, by reason. hardware_thermal or power_brake: look at the cooling "
        "and the supplies of the machine.",
        "gpu",
        "reason",
    ),
    gauge("agent_gpu_temperature_celsius", "Temperature of a GPU.", "gpu"),
    gauge("agent_gpu_utilization_ratio", "Share of time in which a GPU computes; a split one does not say.", "gpu"),
    gauge("agent_gpu_instances", "Parts that a GPU is split into (MIG); what it draws is known of the whole alone.", "gpu"),
    gauge(
        "agent_gpu_persistence_mode",
        "1 while a GPU's driver stays loaded when nobody uses it; 0: its limit is then lost, run nvidia-persistenced.",
        "gpu",
    ),
    gauge("agent_gpu_last_read_timestamp_seconds", "When a GPU was last read.", "gpu"),
    gauge("agent_sampler_lag_seconds", "How late the last look at a GPU began: a machine without time to spare.", "gpu"),
    counter("agent_sampler_missed_looks_total", "Looks at a GPU that were left out since the one before took too long.", "gpu"),
    gauge("agent_gpus", "GPUs of this machine, lost ones among them."),
    gauge("agent_gpus_lost", "GPUs that do not answer. Above 0: look for Xid in the kernel's log."),
    gauge("agent_driver_up", "1 while the driver answers."),
)

HOST = (
    counter(
        "agent_host_energy_joules_total",
        "Energy since the agent's start as others than GPUs measure it, by kind: wall (all power supplies), processors.",
        "kind",
    ),
    gauge("agent_host_power_up", "1 while a source of the host's power answers, by kind: wall, processors.", "kind"),
)

CAPS = (
    gauge("agent_setter_up", "1 while the setter answers that it is in charge. 0: no GPU of this node is capped for long."),
    gauge("agent_setter_dry_run", "1 while the setter writes no limit, but says what it would write."),
    gauge("agent_cap_condition", "1 for how a GPU stands with the setter, by kind; free and capped are normal.", "gpu", "kind"),
    gauge("agent_cap_lease_seconds", "Time until a cap ends by itself if nobody renews it.", "gpu"),
    gauge("agent_operator_silent_seconds", "Time since the operator was last seen alive; caps end when it passes their lease."),
    gauge("agent_occupancy_age_seconds", "Time since the kubelet last said who holds which GPU. Above 1.5: no GPU is capped."),
    counter("agent_cap_writes_total", "Power limits that the setter has written."),
    counter("agent_cap_restores_total", "Limits that were given back, by reason.", "reason"),
    counter("agent_cap_read_back_failures_total", "Limits that were written and did not stand there afterwards."),
    counter("agent_cap_foreign_writes_total", "Limits of ours that somebody else has changed; look for a second tool."),
    counter("agent_cap_clamps_total", "Wishes that were lower than what may be, and were raised to it."),
    counter("agent_cap_refused_total", "Wishes that were refused, by reason.", "reason"),
    counter(
        "agent_cap_journal_failures_total",
        "Times at which the journal could not be written, for a full disk perhaps: no cap then.",
    ),
)

AGENT: tuple[Metric, ...] = (*GPUS, *HOST, *CAPS)
