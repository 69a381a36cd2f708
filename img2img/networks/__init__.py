"""Floor 0: networks. They know tensors alone: no data, no loss, no device."""
