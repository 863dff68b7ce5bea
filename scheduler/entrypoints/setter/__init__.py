"""The process that may set limits of GPUs: `heat-dispatch agent-setter`."""
