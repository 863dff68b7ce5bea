"""Caps of GPUs as leases: what may be asked for, what one GPU's setter does next, and what is kept for after a crash. Pure."""
