"""Media in and out: what a file holds, its frames, its pixels, and the file that is written."""
