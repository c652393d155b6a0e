"""Run by Blender: imports a .glb and prints as JSON what it makes of it, frame by frame."""

import json
import sys

import numpy

# Debian 12's Blender 3.4 uses names that its numpy no longer has.
for name, kind in {"bool": bool, "int": int, "float": float, "object": object}.items():
    if name not in numpy.__dict__:
        setattr(numpy, name, kind)

import bpy
from mathutils import Vector

bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.context.scene.render.fps = 30
bpy.ops.import_scene.gltf(filepath=sys.argv[sys.argv.index("--") + 1])
head = bpy.data.objects["Head"]
keys = head.data.shape_keys
scene, frames = bpy.context.scene, []
last = int(max(action.frame_range[1] for action in bpy.data.actions))
for frame in range(0, last + 1):
    scene.frame_set(frame)
    graph = bpy.context.evaluated_depsgraph_get()
    shapes = head.evaluated_get(graph).data.shape_keys or keys
    matrix = head.evaluated_get(graph).matrix_world
    mesh = head.evaluated_get(graph).to_mesh()
    frames.append({
        "jawOpen": shapes.key_blocks["jawOpen"].value,
        "eyeBlinkLeft": shapes.key_blocks["eyeBlinkLeft"].value,
        # Blender's axes: an import turns glTF's y up into z up, and its z forward into -y.
        "nose": list((matrix.to_3x3() @ Vector((0, -1, 0))).normalized()),
        "place": list(matrix.translation),
        "chin_z": min(v.co.z for v in mesh.vertices),
    })
print("RESULT " + json.dumps({"shapes": [k.name for k in keys.key_blocks], "frames": frames}))
