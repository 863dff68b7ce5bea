"""Ways to speak with heat plants, and the desk behind them."""
