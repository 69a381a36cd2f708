"""Networks (floor 0): tensors in, tensors out, without data sets, losses or devices."""
