"""Meters that we read ourselves: heat and electricity meters over Modbus TCP, and M-Bus behind a TCP gateway."""
