"""Floor 3: a run folder -> a translator of any image (``translator``), and of files and folders (``files``).

Of label maps: ``scenes`` draws them, in ``styles`` found in the training set, with edits of their ``classes``.
"""
