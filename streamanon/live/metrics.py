"""The state of all cameras as Prometheus metrics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from streamanon.live.camera import Camera
from streamanon.live.egress import Output
from streamanon.live.latency import BUCKETS
from streamanon.live.states import State


class Collector:
    """Reads the cameras' counters when it is asked; for a registry of ``prometheus_client``."""

    def __init__(self, cameras: dict[str, Camera]) -> None:
        self._cameras = cameras

    def collect(self) -> Iterator[Metric]:
        cameras = list(self._cameras.values())
        yield _states(cameras)
        yield from _frames(cameras)
        yield from _chain(cameras)
        yield from _outputs(cameras)


def _states(cameras: Iterable[Camera]) -> Metric:
    states = GaugeMetricFamily(
        "streamanon_camera_state", "1 for the camera's present state", labels=("camera", "state")
    )
    for camera in cameras:
        for state in State:
            states.add_metric((camera.name, state.value), float(camera.status.state is state))
    return states


def _frames(cameras: Iterable[Camera]) -> Iterator[Metric]:
    counts: dict[str, tuple[str, Callable[[Camera], float]]] = {
        "source_frames": ("frames decoded", lambda c: c.feed_counts.read),
        "skipped_frames": ("frames dropped before detection: overload", lambda c: c.feed_counts.dropped),
        "damaged_frames": ("damaged frames, which are covered whole", lambda c: c.feed_counts.damaged),
        "processed_frames": ("frames that went through the chain", lambda c: c.context.tally.frames),
        "detections": ("frames on which the detector ran", lambda c: c.detections),
        "detections_skipped": ("detections skipped: overload", _skipped),
        "detections_coarse": ("detections on a smaller copy: overload", _coarse),
        "withheld_frames": ("frames covered whole", lambda c: c.egress_counts.withheld),
        "output_frames": ("frames encoded", lambda c: c.egress_counts.frames),
        "stub_frames": ("frames encoded while the source sent nothing", lambda c: c.egress_counts.stubs),
        "late_frames": (
            "frames dropped: they came after a placeholder for their time",
            lambda c: c.egress_counts.late,
        ),
        "stalls": ("times the source sent nothing", lambda c: c.stalls),
    }
    for name, (text, value) in counts.items():
        family = CounterMetricFamily(f"streamanon_{name}", text, labels=("camera",))
        for camera in cameras:
            family.add_metric((camera.name,), float(value(camera)))
        yield family
    yield _by(cameras, "load_steps", "step", "changes of the workload because of load", _steps)
    yield _by(cameras, "reconnects", "reason", "reconnection attempts", lambda c: c.reconnects)
    yield _by(cameras, "damage", "cause", "signs of damaged input", lambda c: c.damage)


def _skipped(camera: Camera) -> int:
    interval = camera.interval
    return camera.load.skipped + (interval.skipped if interval is not None else 0)


def _coarse(camera: Camera) -> int:
    interval = camera.interval
    return camera.load.coarse + (interval.coarse if interval is not None else 0)


def _steps(camera: Camera) -> Counter[str]:
    interval = camera.interval
    # Copies, made at once: the chain may count a new kind of step while they are added up.
    return camera.load.steps.copy() + (interval.steps.copy() if interval is not None else Counter())


def _chain(cameras: Iterable[Camera]) -> Iterator[Metric]:
    yield _by(cameras, "faces", "rung", "faces covered", lambda c: c.context.tally.by_method)
    yield _by(cameras, "stage_seconds", "stage", "processing time", lambda c: c.context.clock.stages())
    carried = CounterMetricFamily(
        "streamanon_carried_faces", "faces covered where the detector found none", labels=("camera",)
    )
    interval = GaugeMetricFamily(
        "streamanon_detection_interval_seconds", "detection interval", labels=("camera",)
    )
    latency = HistogramMetricFamily(
        "streamanon_latency_seconds", "time from a frame's arrival until it is encoded", labels=("camera",)
    )
    waiting = GaugeMetricFamily("streamanon_waiting_frames", "frames in queues", labels=("camera", "for"))
    for camera in cameras:
        for queue, count in camera.waiting.items():
            waiting.add_metric((camera.name, queue), float(count))
        tally = camera.context.tally
        carried.add_metric((camera.name,), float(tally.faces - tally.detected))
        if camera.interval is not None:
            interval.add_metric((camera.name,), camera.interval.seconds)
        counts, total = camera.egress_counts.latency.counts, 0
        buckets = []
        for edge, count in zip([*map(str, BUCKETS), "+Inf"], counts, strict=True):
            total += count
            buckets.append((edge, float(total)))
        latency.add_metric((camera.name,), buckets, camera.egress_counts.latency.total)
    yield from (carried, interval, waiting, latency)


def _outputs(cameras: Iterable[Camera]) -> Iterator[Metric]:
    labels = ("camera", "output")
    counts: dict[str, tuple[str, Callable[[Output], float]]] = {
        "output_packets": ("packets published", lambda o: o.counts.sent),
        "output_discarded_packets": (
            "packets dropped because a reader was too slow",
            lambda o: o.counts.dropped,
        ),
        "output_discarded_groups": (
            "groups of pictures dropped because a reader was too slow",
            lambda o: o.counts.groups_dropped,
        ),
        "output_restarts": ("restarts of the output", lambda o: o.counts.restarts),
        "output_stalls": ("times the output made no progress", lambda o: o.counts.stalls),
    }
    pairs = [(camera.name, output) for camera in cameras for output in list(camera.outputs)]
    for name, (text, value) in counts.items():
        family = CounterMetricFamily(f"streamanon_{name}", text, labels=labels)
        for camera_name, output in pairs:
            family.add_metric((camera_name, output.target.shown), float(value(output)))
        yield family
    now = time.monotonic()
    age = GaugeMetricFamily(
        "streamanon_output_age_seconds",
        "age of the last published picture, from its arrival",
        labels=labels,
    )
    waiting = GaugeMetricFamily("streamanon_output_waiting_packets", "packets in the queue", labels=labels)
    up = GaugeMetricFamily("streamanon_output_up", "1 while the output is connected", labels=labels)
    for camera_name, output in pairs:
        key = (camera_name, output.target.shown)
        if output.newest is not None:
            age.add_metric(key, now - output.newest)
        waiting.add_metric(key, float(output.waiting))
        up.add_metric(key, float(output.status.state is State.RUNNING))
    yield from (age, waiting, up)


def _by(
    cameras: Iterable[Camera],
    name: str,
    label: str,
    text: str,
    values: Callable[[Camera], Mapping[str, float]],
) -> Metric:
    family = CounterMetricFamily(f"streamanon_{name}", text, labels=("camera", label))
    for camera in cameras:
        for key, value in sorted(dict(values(camera)).items()):
            family.add_metric((camera.name, key), float(value))
    return family
