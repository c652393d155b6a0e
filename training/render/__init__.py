"""Draws heads of the asset pack with known pose, expression and gaze: what the landmark correspondence and the demo clip
are made with. `pack` reads the assets, `camera` holds the spaces, `light` the lighting, `scene` says what is drawn, and
`renderer` draws it.
"""
