"""From words and YAML to objects: what may be imported, what is checked before it is built, what a run goes on from."""

import os

# lightning 2.6 calls names that jsonargparse 4.50 renamed; the person at the command line can do nothing about it
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
