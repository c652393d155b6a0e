"""Whose work the rendered faces are made of; every card of a network trained on them says so."""

LICENCES = """\
| asset | source | licence |
|---|---|---|
| head geometry and expression shapes | ICT-FaceKit (USC Institute for Creative Technologies) | MIT |
| skins, brows, irises, hair | MakeHuman stock assets | CC0 1.0 |
| light | Poly Haven panoramas | CC0 1.0 |
| ARKit motion | LiveLinkFace-CSV-Retarget-For-Motionbuilder | MIT |
"""
