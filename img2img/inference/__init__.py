"""Floor 3: a run folder -> a translator of any picture (``translator``), and of files and folders (``files``)."""
