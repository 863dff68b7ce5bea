"""Migrations of the ledger, run by `scheduler.adapters.ledger.migrate`."""
