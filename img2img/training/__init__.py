"""Floor 6: the one training loop.

``trainer`` is the loop, with data, log, samples and checkpoints; ``step`` one step of any model; ``networks`` its
networks, optimizers and EMAs (``ema``), and how they are saved; ``means`` what steps return until the next log;
``diagnostics`` what a step's images say; ``monitor`` which problem the numbers are signs of; ``logger`` what a run
writes; ``process`` signals, processes and memory; ``resuming`` and ``starting`` a run that goes on, or begins with the
weights of another one.
"""
