"""Floor 3: the one training loop.

``game`` is a step of any model; ``trainer`` the loop around it, with data, log, samples and checkpoints; ``signs`` what
a step's pictures tell; ``monitor`` which illness the numbers are signs of; ``logger`` what a run tells; ``average`` the
generators' moving average; ``process`` signals and memory.
"""
