"""Recipes (floor 1): make data sets of downloads, of two folders, of pairs, of Cityscapes, of large images.

A set appears under its name when it is complete. The commands are ``img2img fetch``, ``pair``, ``unpair``,
``cityscapes`` and ``cut``; datasets/*.py of a checkout are the same.
"""
