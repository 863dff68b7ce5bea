"""The operator's hands and eyes in a cluster: stores as a view, decisions as intents, intents as writes."""
