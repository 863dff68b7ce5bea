"""What was done, what it cost, what it would have cost."""
