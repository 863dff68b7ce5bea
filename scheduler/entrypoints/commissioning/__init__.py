"""Wiring of the acceptance run: its checks over a real link, and the person who makes it."""
