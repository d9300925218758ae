"""Suite to cells to results to curves to report."""
