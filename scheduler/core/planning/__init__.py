"""The optimiser: the only room that knows PuLP and HiGHS."""
