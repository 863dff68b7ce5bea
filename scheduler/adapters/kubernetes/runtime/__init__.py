"""A thin level-triggered layer on the bare `kubernetes` client: caches, queue, leadership, fenced writes."""
