"""LightningDataModules and where data comes from."""
