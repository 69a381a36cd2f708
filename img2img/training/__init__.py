"""Floor 6: the one training loop.

``trainer`` is the loop, with data, log, samples and checkpoints; ``step`` one step of any model; ``networks`` its
networks, optimizers and EMAs (``ema``), and how they are saved; ``diagnostics`` what a step's images say; ``monitor``
which problem the numbers are signs of; ``logger`` what a run writes; ``process`` signals and memory.
"""
