"""Data: one LightningDataModule over any data set that takes a split."""
