"""Floor 3: the one training loop.

``game`` is a step of any model; ``trainer`` the loop around it, with data, log, samples and checkpoints; ``logger``
what it tells; ``average`` the generators' moving average; ``process`` signals and memory.
"""
