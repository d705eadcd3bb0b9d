"""Base classes and helpers of this app's commands."""
