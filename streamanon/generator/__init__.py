"""Generated faces: a delegate's, in the frame's pose, expression and light."""

from streamanon.generator.network import NetworkGenerator
from streamanon.generator.patch import Generator, Job, Look, Painting, Patch
from streamanon.generator.warp import WarpGenerator

__all__ = ["Generator", "Job", "Look", "NetworkGenerator", "Painting", "Patch", "WarpGenerator"]
