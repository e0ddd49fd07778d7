"""Generated faces: a delegate's, in the frame's pose, expression and light."""

from streamanon.generate.interface import DetailState, Generator, Job, Painting, Patch
from streamanon.generate.network import NetworkGenerator
from streamanon.generate.warp import WarpGenerator

__all__ = ["DetailState", "Generator", "Job", "NetworkGenerator", "Painting", "Patch", "WarpGenerator"]
