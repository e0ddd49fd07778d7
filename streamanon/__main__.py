"""The ``streamanon`` command, also as ``python -m streamanon``."""

import os
import sys

#: The chain's stages are what runs in parallel. Threads of libraries that wait for pieces of a stage's work
#: spin meanwhile, a tenth of all processor time. NumPy and OpenCV read this when they are imported.
LIBRARY_THREADS = {"OPENBLAS_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}


def main() -> int:
    for name, count in LIBRARY_THREADS.items():
        os.environ.setdefault(name, count)
    try:
        from streamanon.cli import main as run
    except KeyboardInterrupt:  # what is imported takes a moment
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
