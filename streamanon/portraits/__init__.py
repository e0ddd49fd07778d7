"""Delegates made of a user's own synthetic portraits."""
