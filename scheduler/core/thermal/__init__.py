"""From GPU watts to delivered heat."""
