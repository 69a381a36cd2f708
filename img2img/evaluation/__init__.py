"""Floor 3: how good the pictures are (``pixels``) and how fast they come (``benchmark``)."""
