"""The plant's end of the link: one `ports.PlantClient` per protocol, for the software plant and for acceptance runs."""
