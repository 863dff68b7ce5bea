"""Makes `tests/` importable, so that test files may share small builders (`small_world`)."""
