"""What is said between us and heat plants, in the ledger's database: the one thing that operator and plant link share."""
