"""Frozen nouns of the site, the plan and the ledger: units in every name, validation, no behaviour."""
