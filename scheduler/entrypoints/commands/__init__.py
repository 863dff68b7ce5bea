"""One file per command: read files, call the rooms below, show the result."""
