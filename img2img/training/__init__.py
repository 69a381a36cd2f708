"""Floor 6: the training loop, one for all models.

``trainer``      the loop, with data, log, samples, validation and checkpoints; begin reading here
``step``         one training step of any model
``networks``     its networks and optimizers, and how they are saved; ``ema``: their EMAs; ``pools``: its image pools
``means``        values of the steps, averaged until the next log
``diagnostics``  measurements of generated images; ``monitor``: recognises problems of GAN training from the log
``logger``       progress bar, metrics.csv, TensorBoard; ``samples``: sample grids
``validation``   scores of validation images during training; ``best``: the step with the best ones
``process``      stop signals, agreement of several processes, precision, memory
``resuming``     continues a run; ``starting``: begins one with the weights of another
"""
