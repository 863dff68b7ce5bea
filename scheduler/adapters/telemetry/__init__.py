"""Power as agents on GPU nodes measure it, asked for by HTTP."""
