"""Runs one of MediaPipe's networks with MediaPipe's own runtime: what converted networks are held against.

    python mediapipe_outputs.py NETWORK LOW HIGH SIZE PIXELS RESULT

NETWORK is the file's path within the package. PIXELS holds images of SIZE x SIZE, R, G, B bytes, which reach the network
scaled to LOW..HIGH. RESULT gets, image after image, the outputs as 32-bit floats: for the attention mesh the 478 merged
landmarks in input pixels and the presence logit, else the network's outputs in its order.

Needs mediapipe 0.10.21, numpy and protobuf alone: the package's own __init__, which pulls in its drawing and training code, is
stepped over.
"""

import struct
import sys
import sysconfig
import types
from pathlib import Path

import numpy as np

SITE = Path(sysconfig.get_paths()["platlib"])
for name in ["mediapipe", "mediapipe.python"]:
    package = types.ModuleType(name)
    package.__path__ = [str(SITE.joinpath(*name.split(".")))]
    sys.modules[name] = package

from mediapipe.python._framework_bindings import _packet_creator, _packet_getter  # noqa: E402
from mediapipe.python._framework_bindings import calculator_graph, image_frame, resource_util  # noqa: E402

INPUT = """
input_stream: "image"
node {{
  calculator: "ImageToTensorCalculator" input_stream: "IMAGE:image" output_stream: "TENSORS:input"
  options {{ [mediapipe.ImageToTensorCalculatorOptions.ext] {{
    output_tensor_width: {size} output_tensor_height: {size} output_tensor_float_range {{ min: {low} max: {high} }}
  }} }}
}}
node {{ calculator: "TfLiteCustomOpResolverCalculator" output_side_packet: "OP_RESOLVER:resolver" }}
node {{
  calculator: "InferenceCalculator" input_side_packet: "OP_RESOLVER:resolver"
  input_stream: "TENSORS:input" output_stream: "TENSORS:outputs"
  options {{ [mediapipe.InferenceCalculatorOptions.ext] {{
    model_path: "{network}" delegate {{ xnnpack {{ num_threads: 1 }} }}
  }} }}
}}
node {{
  calculator: "SplitTensorVectorCalculator" input_stream: "outputs" {splits}
  options {{ [mediapipe.SplitVectorCalculatorOptions.ext] {{ {ranges} }} }}
}}
"""
FLOATS = 'node {{ calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:{0}" output_stream: "FLOATS:{0}_values" }}'
MESH = 'node { calculator: "TensorsToFaceLandmarksWithAttention" input_stream: "TENSORS:mesh" output_stream: "LANDMARKS:merged" }'


def landmarks(packet, size):
    """x, y, z of a NormalizedLandmarkList (field 1, messages of the floats 1 to 3), in pixels."""
    data, at, points = _packet_getter._get_serialized_proto(packet), 0, []
    while at < len(data):
        assert data[at] == 0x0A, "a list holds landmarks only"
        end = at + 2 + data[at + 1]
        at += 2
        point = {}
        while at < end:
            assert data[at] & 7 == 5, "a landmark holds floats only"
            point[data[at] >> 3] = struct.unpack_from("<f", data, at + 1)[0]
            at += 5
        points.append([point.get(i, 0.0) * size for i in (1, 2, 3)])
    return np.array(points, np.float32)


def main():
    network, low, high, size = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    merged = "attention" in network
    names, bounds = (["mesh", "presence"], [0, 6, 7]) if merged else (["first", "second"], [0, 1, 2])
    text = INPUT.format(
        size=size, low=low, high=high, network=network,
        splits=" ".join(f'output_stream: "{name}"' for name in names),
        ranges=" ".join(f"ranges {{ begin: {a} end: {b} }}" for a, b in zip(bounds, bounds[1:])),
    )
    text += MESH if merged else FLOATS.format("first")
    text += FLOATS.format(names[1])
    streams = ["merged" if merged else "first_values", f"{names[1]}_values"]
    text += "".join(f'\noutput_stream: "{stream}"' for stream in streams)

    resource_util.set_resource_dir(str(SITE))
    graph = calculator_graph.CalculatorGraph(graph_config=text)
    got = {}
    for stream in streams:
        graph.observe_output_stream(stream, got.__setitem__)
    graph.start_run({})
    images = np.fromfile(sys.argv[5], np.uint8).reshape(-1, size, size, 3)
    with open(sys.argv[6], "wb") as result:
        for i, pixels in enumerate(images):
            packet = _packet_creator._create_image_frame_from_pixel_data(image_frame.ImageFormat.SRGB, pixels, True)
            graph.add_packet_to_input_stream("image", packet.at(i))
            graph.wait_until_idle()
            for stream in streams:
                packet = got.pop(stream)
                values = landmarks(packet, size) if stream == "merged" else _packet_getter.get_float_list(packet)
                np.asarray(values, np.float32).tofile(result)
    graph.close()


main()
