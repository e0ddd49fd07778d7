"""Whom a face becomes: how a delegate is chosen, kept and known again; at run time only."""
