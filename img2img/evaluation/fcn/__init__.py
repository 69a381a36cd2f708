"""The FCN-score: what a segmentation network recognises in translated images."""
