"""OPC UA: a server for SCADA systems, and the client of the plant's side. Needs `pip install heat-dispatch[opcua]`."""
