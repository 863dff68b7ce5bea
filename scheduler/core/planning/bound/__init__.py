"""A proven lower bound on what any policy could have paid in a backtest window, with perfect foresight."""
