"""``streamanon audit``: how anonymous a video is, measured against its original, whatever tool made it."""
