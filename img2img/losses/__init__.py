"""Losses of generators and discriminators (floor 0)."""
