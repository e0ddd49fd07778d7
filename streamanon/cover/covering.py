"""The stages that cover the faces of one stream, with what they share."""

from __future__ import annotations

import numpy as np

from streamanon.config import CoverConfig
from streamanon.cover.canvas import HostCanvas
from streamanon.cover.composite import Compositor
from streamanon.cover.keeping import Keeping
from streamanon.cover.measure import Measurer
from streamanon.cover.synthesis import Synthesis, Synthesiser
from streamanon.cover.track_states import TrackStates
from streamanon.runtime.run_context import RunContext
from streamanon.types import Account


class Covering:
    """``synthesis``: what generates faces, None for the other methods. ``noise``: of mosaics and fills, by
    default seeded by the system and known to nobody. ``context``: of this run, by default a new one.
    ``keeping``: who is left visible, by default nobody.
    """

    def __init__(
        self,
        config: CoverConfig,
        synthesis: Synthesis | None,
        noise: np.random.Generator | None = None,
        context: RunContext | None = None,
        keeping: Keeping | None = None,
    ) -> None:
        self.context = RunContext(config.on_error) if context is None else context
        self.faults = self.context.faults
        self.tracks = TrackStates()
        self._assigner = None if synthesis is None else synthesis.assigner
        mesh = None if synthesis is None else synthesis.mesh
        self.measurer = Measurer(config, mesh, self.faults)
        self.synthesiser = Synthesiser(config, synthesis, self.tracks, self.faults)
        self.keeping = keeping
        canvas = HostCanvas if synthesis is None else synthesis.canvas
        self.compositor = Compositor(config, self.tracks, self.faults, noise, canvas)

    @property
    def account(self) -> Account:
        """What was drawn so far."""
        return Account() if self._assigner is None else self._assigner.account
