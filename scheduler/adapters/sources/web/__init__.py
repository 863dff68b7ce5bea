"""The one door to the web that providers have: what is asked of whom, how often, how much is read, and what is never told."""
