"""Floor 3: the one training loop. ``trainer`` plays the game, ``checkpoint`` makes it resumable, ``logger`` tells of it,
``process`` deals with signals and memory."""
