"""GPUs of this machine, behind their driver."""
