"""Wiring of the software plant: to a plant link, or to one of its own in the same process."""
