"""Writing a file as the last stage of the chain, so that an output that hangs is told as any stage is."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from pathlib import Path

from streamanon.media.encode import VideoSink
from streamanon.types import SafeFrame


class FileWriter:
    """One output file.

    ``on_note`` is told each thing that could not be kept, once the file is open, and what only shows later
    at the end. ``partial``: where it lies until it is complete. ``removed``: what of the source it does not
    hold. ``stopped``: set it between two frames to finish the file where it is.
    """

    def __init__(
        self, open_sink: Callable[[], VideoSink], on_note: Callable[[str], object] | None = None
    ) -> None:
        self._open_sink, self._on_note = open_sink, on_note
        self.partial: Path | None = None
        self.removed: tuple[str, ...] = ()
        self.stopped = False

    def written(self, frames: Iterable[SafeFrame]) -> Generator[SafeFrame, None, None]:
        """Yield each frame once it is written; after the last one the file is finished.

        The file is opened before the first frame is asked for, and closed where this is closed or ends by
        an error of the frames: all in the thread that runs it. Raises what :class:`VideoSink` does.
        """
        with self._open_sink() as sink:
            self.partial, self.removed = sink.partial, sink.removed
            if self._on_note is not None:
                for note in sink.notes:
                    self._on_note(note)
            for frame in frames:
                sink.write(frame)
                yield frame
                if self.stopped:
                    break
            told = len(sink.notes)
            sink.close(complete=not self.stopped)
            for note in sink.notes[told:]:
                if self._on_note is not None:
                    self._on_note(note)
