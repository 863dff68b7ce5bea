"""The plant link over MQTT 3.1.1 and 5: we are a client of a broker of the plant's, and so is the plant."""
