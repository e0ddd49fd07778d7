"""Many cameras in one process: started, watched, reloaded and stopped together, failing apart."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from streamanon.api import Anonymizer
from streamanon.config import ComputeConfig, Config
from streamanon.errors import sentence
from streamanon.live.camera import Camera
from streamanon.live.site import Plan, with_threads
from streamanon.live.states import Journal
from streamanon.live.warm_up import HEIGHT, WIDTH, warm_up
from streamanon.media.address import redact_text
from streamanon.runtime.backends import Backend, open_backend
from streamanon.runtime.shared_models import SharedBackend

#: Cameras' states are looked at this often, s.
LOOK_SECONDS = 0.25
#: How long a camera may take to send what it holds back, and to end, s.
DRAIN_SECONDS = 8.0


class Models:
    """Anonymizers by profile. Cameras with one profile share one; all with equal settings of ``compute``
    share the networks they have in common, so that each GPU has its own.
    """

    def __init__(self) -> None:
        self._backends: dict[ComputeConfig, Backend] = {}
        self._anonymizers: dict[Config, Anonymizer] = {}
        self._warm: set[tuple[int, int, int]] = set()
        self._warming = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._ending = False

    def of(self, config: Config) -> Anonymizer:
        """Loaded and warmed up. Raises :class:`ConfigError` or :class:`ModelError`."""
        if config not in self._anonymizers:
            backend = self._backends.get(config.compute)
            if backend is None:
                backend = self._backends[config.compute] = SharedBackend(open_backend(config.compute))
            made = Anonymizer(config, backend)
            warm_up(made)
            self._warm.add((id(made), WIDTH, HEIGHT))
            self._anonymizers[config] = made
        return self._anonymizers[config]

    def warm(self, anonymizer: Anonymizer, width: int, height: int) -> None:
        """Prepare for pictures of that size, in a thread of its own; what fails is told by the stream."""

        def run() -> None:
            with self._warming, contextlib.suppress(Exception):
                key = (id(anonymizer), width, height)
                if key not in self._warm and not self._ending:
                    self._warm.add(key)
                    warm_up(anonymizer, width, height)
            self._threads.remove(threading.current_thread())  # else each reconnect would add one

        thread = threading.Thread(target=run, name="warm up", daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self, seconds: float) -> bool:
        """Prepare for no more sizes, and whether what was begun ended in time: the interpreter's end would
        abort the process.
        """
        self._ending, until = True, time.monotonic() + seconds
        threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def keep_only(self, configs: Sequence[Config]) -> None:
        """Drop what no camera uses any more, and with a GPU's last camera the networks on it."""
        self._anonymizers = {key: one for key, one in self._anonymizers.items() if key in configs}
        computes = {one.compute for one in self._anonymizers}
        self._backends = {key: one for key, one in self._backends.items() if key in computes}
        with self._warming:  # a new one may get the id of one that is gone
            kept = {id(one) for one in self._anonymizers.values()}
            self._warm = {one for one in self._warm if one[0] in kept}


class Service:
    """``models``: makes an anonymizer of a profile."""

    def __init__(self, journal: Journal, models: Models | None = None, cores: int | None = None) -> None:
        self._journal, self._models = journal, models or Models()
        self._cores = cores or len(os.sched_getaffinity(0))
        self._plans: dict[str, Plan] = {}
        self._changing = threading.Lock()
        self.cameras: dict[str, Camera] = {}

    def load(self, plans: Sequence[Plan]) -> None:
        """Load what these cameras need, which takes seconds. Raises what loading does."""
        for one in plans:
            self._models.of(with_threads(one, len(plans), self._cores).config)

    def start(self, plans: Sequence[Plan]) -> None:
        """Start cameras. Raises what loading the models of any of them does, before any is started."""
        shared = [with_threads(one, len(plans), self._cores) for one in plans]
        anonymizers = [self._models.of(one.config) for one in shared]
        with self._changing:
            for one, made, anonymizer in zip(plans, shared, anonymizers, strict=True):
                self._begin(one, made, anonymizer)

    def reload(self, plans: Sequence[Plan]) -> None:
        """Stop cameras that are gone or changed, start those that are new or changed, or had ended by an
        error; the others are not touched. One whose models do not load is told, and goes on as it was.
        """
        new = {one.settings.name: one for one in plans}
        with self._changing:
            old = dict(self._plans)
            failed = {name for name, one in self.cameras.items() if one.is_over and one.error is not None}
        changed = [one for name, one in new.items() if old.get(name) != one or name in failed]
        loaded = list(self._loaded(changed, len(new)))
        gone = [name for name in old if name not in new]
        for name in gone:
            self._journal.note(name, "removed")
        # All end before any begins: two may have changed outputs with each other.
        self._end([*gone, *(one.settings.name for one, _, _ in loaded)])
        for one, made, anonymizer in loaded:
            name = one.settings.name
            self._journal.note(name, "reloaded" if name in old else "added")
            with self._changing:
                self._begin(one, made, anonymizer)
        self._models.keep_only([with_threads(p, len(new), self._cores).config for p in plans])

    def _loaded(self, plans: Sequence[Plan], cameras: int) -> Iterator[tuple[Plan, Plan, Anonymizer]]:
        """The plans whose models load, also with their threads, and the anonymizers; others are told."""
        for one in plans:
            made = with_threads(one, cameras, self._cores)
            try:
                yield one, made, self._models.of(made.config)
            except Exception as error:
                reason = redact_text(sentence(error))
                self._journal.note(one.settings.name, "not reloaded", reason=reason)

    def run(self, should_stop: Callable[[], bool], each_look: Callable[[], None] = lambda: None) -> None:
        """Watch the cameras until told to stop, or until all have ended."""
        while not should_stop():
            with self._changing:
                cameras = list(self.cameras.values())
            for camera in cameras:
                camera.look()
            if all(camera.is_over for camera in cameras):
                return
            each_look()
            time.sleep(LOOK_SECONDS)

    def stop(self, seconds: float = DRAIN_SECONDS) -> bool:
        """End all: what is held back is still sent. Whether all ended in time."""
        until = time.monotonic() + seconds
        with self._changing:
            cameras = list(self.cameras.values())
        for camera in cameras:
            camera.stop()
        ended = [camera.join(max(0.0, until - time.monotonic())) for camera in cameras]
        return self._models.join(max(0.0, until - time.monotonic())) and all(ended)

    def errors(self) -> list[Exception]:
        """Of the cameras that ended by one."""
        return [camera.error for camera in self.cameras.values() if camera.error is not None]

    def lacks_file(self) -> bool:
        """Whether a single file that a camera was to write is not there, or not complete."""
        return any(camera.lacks_file for camera in self.cameras.values())

    def _begin(self, given: Plan, made: Plan, anonymizer: Anonymizer) -> None:
        name = given.settings.name
        camera = self.cameras[name] = Camera(
            made.settings, anonymizer, self._journal, warm=self._models.warm
        )
        self._plans[name] = given
        camera.start()

    def _end(self, names: Sequence[str]) -> None:
        with self._changing:
            cameras = [self.cameras.pop(name) for name in names if name in self.cameras]
            for name in names:
                self._plans.pop(name, None)
        until = time.monotonic() + DRAIN_SECONDS
        for camera in cameras:
            camera.stop()
        for camera in cameras:
            camera.join(max(0.0, until - time.monotonic()))
