"""Shipway: plan a lifecycle, execute that plan and no other, keep the receipt. Holds the version and nothing else."""

__version__ = "0.1.0"
