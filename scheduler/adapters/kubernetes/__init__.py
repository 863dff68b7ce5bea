"""The real cluster: observer, actuator and what they stand on, behind the ports."""
