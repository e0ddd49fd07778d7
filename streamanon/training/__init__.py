"""Training of every model in ``engines/`` (needs the ``train`` extra and the training data)."""
