"""The six steps: observe, forecast, plan, act, publish, account."""
