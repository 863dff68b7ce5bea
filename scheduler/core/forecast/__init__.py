"""What is likely to come, with bands and skill."""
