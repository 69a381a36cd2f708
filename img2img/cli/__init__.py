"""The commands (floor 7): one file a command, whose ``main`` reads the arguments, builds what is needed and calls it.

``main.py`` finds the command. Nothing here is imported from below, and no file imports torch before it has read its
arguments, so that --help and mistakes answer at once. To add a command, add its file and a line in ``main.COMMANDS``.
"""
