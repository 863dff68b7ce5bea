"""The REST interface of the plant link."""
