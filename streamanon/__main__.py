"""``python -m streamanon`` is the ``streamanon`` command."""

import sys

from streamanon.cli import main

if __name__ == "__main__":
    sys.exit(main())
