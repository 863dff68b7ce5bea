"""Every metric of the plant link. A label is an offtake, a protocol, a kind of letter, or an interface's name."""

from __future__ import annotations

from scheduler.adapters.metrics.catalog import counter, gauge

SPEAKING = (
    gauge("link_speaks", "1 while the operator beside us leads, so that we speak with plants."),
    gauge("link_operator_silent_seconds", "Since when the operator was not heard; above 40 every boiler is asked for."),
    counter("link_beats_total", "Heartbeats given."),
    gauge(
        "link_interface_up",
        "1 while an interface works. Where it is 0 its plants hear nothing, and start their boilers.",
        "interface",
    ),
    counter("link_interface_failures_total", "How often an interface ended and was started anew.", "interface"),
    counter("link_refusals_total", "Turned away before it was a letter: no credential, malformed, too often.", "protocol"),
)
PLANTS = (
    gauge("link_schedule_sequence", "Sequence of the newest schedule.", "offtake"),
    gauge("link_schedule_age_seconds", "Since when the newest schedule is kept.", "offtake"),
    gauge("link_schedule_valid_seconds", "For how long the newest schedule is still valid; below 0 it has run out.", "offtake"),
    gauge("link_boiler_signal", "1 while the plant is told to start its boiler.", "offtake"),
    gauge("link_alarm", "The worst alarm in the heartbeat: 0 none, 1 warning, 2 critical.", "offtake"),
    gauge("link_plant_heartbeat_age_seconds", "Since when the plant's counter stands still; absent: it has none.", "offtake"),
    gauge("link_plant_heard_age_seconds", "Since when nothing was heard of a plant; absent: it never spoke.", "offtake"),
    gauge("link_override", "1 while a person at the plant has taken over, until our operator clears it.", "offtake"),
    gauge("link_acknowledged_sequence", "Newest sequence that the plant has answered.", "offtake"),
    counter("link_letters_total", "What plants said, by kind and by whether it was believed.", "kind", "verdict"),
)
LINK = (*SPEAKING, *PLANTS)
