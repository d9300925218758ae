"""`python -m lm_lab` is `lm-lab`."""

import sys

from lm_lab.cli import main

sys.exit(main())
