"""Text to Site and Settings."""
