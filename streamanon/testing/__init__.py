"""Stand-ins with a known truth, for tests of this package and of what is built on it."""
