"""Building the gallery of delegates from synthetic portraits; see :mod:`streamanon.training.delegates`."""
