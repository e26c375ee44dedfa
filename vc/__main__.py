"""Run the command `vc` as `python -m vc`."""

import sys

from vc.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
