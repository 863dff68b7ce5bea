"""What Prometheus reads: a catalogue of metrics, the registry that holds them and the page that explains them."""
