"""The parts of the chain that work on a device, for backends whose models have their memory there."""

from __future__ import annotations

from streamanon.config import DetectConfig
from streamanon.cover.canvas import Canvas
from streamanon.detect.yolo import FaceDetector
from streamanon.device.canvas import DeviceCanvas
from streamanon.device.detection import DeviceFaceDetector, DeviceVerifier
from streamanon.device.models import DeviceBackend
from streamanon.device.painting import DeviceGenerator
from streamanon.device.pictures import DevicePixels, Pictures
from streamanon.gallery.delegates import DelegateGallery
from streamanon.mesh.face_mesh import FaceMesh
from streamanon.runtime.backends import Backend, Memory
from streamanon.runtime.models import Engines
from streamanon.types import Picture

#: Faces that are measured in one batch: with both eyes of each, no more than a plan's largest profile.
MEASURED_TOGETHER = 4


class DeviceParts:
    """All of one chain: they share its pictures on the device."""

    def __init__(self, backend: Backend, memory: Memory) -> None:
        self._backend, self._pictures = DeviceBackend(backend, memory), Pictures(memory)

    def detector(self, _backend: Backend, engines: Engines, config: DetectConfig) -> FaceDetector:
        return DeviceFaceDetector(self._backend, engines, config, self._pictures)

    def verifier(self, engines: Engines) -> DeviceVerifier:
        return DeviceVerifier(self._backend, engines, self._pictures)

    def mesh(self, engines: Engines) -> FaceMesh:
        def look(picture: Picture) -> DevicePixels:
            return DevicePixels(self._pictures, picture)

        return FaceMesh(self._backend, engines, look, MEASURED_TOGETHER)

    def generator(self, gallery: DelegateGallery, engines: Engines) -> DeviceGenerator:
        return DeviceGenerator(gallery, self._backend, engines, self._pictures)

    def canvas(self, picture: Picture) -> Canvas:
        return DeviceCanvas(self._pictures, picture)
