"""The face network: from a crop of a webcam's frame to landmarks, pose, expression, gaze, light and identity."""
