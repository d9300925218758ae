"""The LightningModules, optimisers, schedules and callbacks."""
