"""Results as curves, statistics, tables and a page; nothing here runs a cell."""
