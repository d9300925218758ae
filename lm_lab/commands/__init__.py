"""What `lm-lab NAME` runs, a module a command."""
