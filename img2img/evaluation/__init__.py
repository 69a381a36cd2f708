"""Floor 3: how good pictures are (``quality``, ``pixels``) and how fast they come (``benchmark``)."""
