"""The measured past, kept over restarts: in memory and in SQL."""
