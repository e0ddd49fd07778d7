"""Which faces are one person's over time, and where they are while they are not detected."""
