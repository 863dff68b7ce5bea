"""Where prices, carbon, weather and heat demand come from."""
