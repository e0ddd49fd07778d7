"""The delegates: synthetic faces that people get."""
