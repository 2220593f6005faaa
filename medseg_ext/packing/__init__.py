"""Folders with all that a training needs, for machines without a network."""

HAS = ("torch", "torchvision", "transformers")  # what such a machine has, if nothing else is said
