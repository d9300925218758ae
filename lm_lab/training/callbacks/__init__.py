"""What happens while a fit runs: watching, measuring, telling, saving."""
