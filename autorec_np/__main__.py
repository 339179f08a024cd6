"""``python -m autorec_np`` is the command ``autorec-np``."""

import sys

from autorec_np.cli import main

if __name__ == "__main__":
    sys.exit(main())
