"""Floor 0: from picture files to batches of tensors. ``images`` reads and writes, ``folder`` finds the pairs of a set,
``transforms`` resizes, crops and flips, ``toy`` draws the embedded task, ``paired`` is the data set, ``loader`` the
keyed batches."""
