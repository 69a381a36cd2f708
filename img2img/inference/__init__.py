"""Floor 3: trained runs as functions. ``loading`` makes a ``Translator`` or a ``Sampler`` of a run folder.

``translator`` translates images, ``label_translator`` label maps (with ``styles`` and ``label_edits``), ``sampler``
draws images from noise; ``files`` translates files and folders, ``arguments`` is the command line of ``img2img infer``.
"""
