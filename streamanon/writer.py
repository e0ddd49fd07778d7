"""Writing a file as the last stage of the chain, so that an output that hangs is told as any stage is."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from streamanon.sink import VideoSink
from streamanon.types import SafeFrame


class FileWriter:
    """One output file. ``notes``: what could not be kept, known once the file was opened. ``stopped``: set
    it between two frames to finish the file where it is.
    """

    def __init__(self, open_sink: Callable[[], VideoSink]) -> None:
        self._open_sink = open_sink
        self.notes: tuple[str, ...] = ()
        self.stopped = False

    def written(self, frames: Iterable[SafeFrame]) -> Generator[SafeFrame, None, None]:
        """Yield each frame once it is written; after the last one the file is finished.

        The file is opened before the first frame is asked for, and closed where this is closed or ends by
        an error of the frames: all in the thread that runs it. Raises what :class:`VideoSink` does.
        """
        with self._open_sink() as sink:
            self.notes = sink.notes
            for frame in frames:
                sink.write(frame)
                yield frame
                if self.stopped:
                    break
            sink.close(complete=not self.stopped)
