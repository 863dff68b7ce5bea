"""heat-dispatch: run a GPU cluster as a dispatchable heat plant."""

__version__ = "0.1.0"
