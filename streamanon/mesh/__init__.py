"""A face measured: 478 landmarks, eyes and mouth, smoothed over time."""
