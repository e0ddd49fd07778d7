"""Generated faces: a delegate's, in the frame's pose, expression and light."""

from streamanon.generator.patch import Generator, Look, Patch
from streamanon.generator.warp import WarpGenerator

__all__ = ["Generator", "Look", "Patch", "WarpGenerator"]
