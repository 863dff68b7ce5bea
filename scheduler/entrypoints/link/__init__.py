"""The process that speaks with heat plants: `heat-dispatch plant-link`."""
