"""Faces covered in the frame; ``seal`` is the only place that makes a SafeFrame."""
