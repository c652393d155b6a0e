"""Prints its port, then what PyLiveLinkFace decodes from each datagram as a line of JSON; null without a face."""

import json
import socket

from pylivelinkface import FaceBlendShape, PyLiveLinkFace

receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
print(receiver.getsockname()[1], flush=True)
while True:
    has_face, face = PyLiveLinkFace.decode(receiver.recv(65536))
    values = {shape.name: face.get_blendshape(shape) for shape in FaceBlendShape}
    print(json.dumps({"fps": face.fps, "values": values} if has_face else None), flush=True)
