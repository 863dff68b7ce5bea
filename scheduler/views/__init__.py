"""Domain objects as tables, plots and pages."""
