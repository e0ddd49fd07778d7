"""Where the faces of one frame are."""
