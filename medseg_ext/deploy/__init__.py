"""Run an exported bundle as an application of the MONAI Deploy App SDK."""
