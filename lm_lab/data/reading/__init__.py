"""From files, the hub and standard input to checked rows."""
