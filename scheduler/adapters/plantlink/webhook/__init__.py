"""Schedules and heartbeats pushed to a URL of the plant's, signed."""
