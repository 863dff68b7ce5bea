"""From a plan to offers and firm promises."""
