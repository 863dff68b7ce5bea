"""Where the state that a live page shows is kept."""
