"""``python -m qwidgets``; see ``qwidgets.command``."""

import sys

from qwidgets.command import main

if __name__ == "__main__":
    sys.exit(main())
