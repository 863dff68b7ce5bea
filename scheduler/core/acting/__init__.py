"""From a plan to guarded actions, and admission between plans."""
