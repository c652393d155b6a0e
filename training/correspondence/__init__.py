"""Where MediaPipe's 478 landmarks lie on the head model, and the canonical head that follows from it.

    python -m correspondence.observe --assets DIR --out observations.npz     (needs mediapipe)
    python -m correspondence.attach --assets DIR --observations observations.npz --out ../models/landmarks478.json
    python -m correspondence.canonical --assets DIR --landmarks ../models/landmarks478.json --out ../models/canonical_head.json

All from `training/`. What the files hold is told in models/canonical_head.md.
"""
