"""Pages of every provider as its documentation has them, made by us: all values are a known function of time.

Each module is called like its provider in the catalogue, and has
  OPTIONS      by quantity: options that make the provider (but for `url`)
  CREDENTIALS  what its requests need
  UNITS        by quantity: the provider's own unit, in which value_at speaks
  value_at     (quantity, instant) -> what a true answer says of the slot that the instant lies in
  routes       (now) -> the stand-in's routes
"""
