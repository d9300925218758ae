"""A suite of cells, planned and run to its end."""
