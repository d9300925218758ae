"""A LightningDataModule for each form of task."""
