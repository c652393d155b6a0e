"""The detector: faces in a picture without knowing where to look."""
