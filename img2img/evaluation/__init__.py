"""How good images are: image sets, metrics of them, and the reports of both."""
