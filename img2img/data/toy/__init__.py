"""The embedded tasks: data that the package draws itself."""
