"""The plugin of napari: objects of an image layer, and layers saved for a training."""
