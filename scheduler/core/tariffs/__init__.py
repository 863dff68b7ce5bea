"""What power costs and heat earns."""
