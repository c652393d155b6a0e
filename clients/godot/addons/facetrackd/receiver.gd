# Receives a face by the VMC protocol and moves a mesh's blend shapes and a head. Put it on any node:
#
#     facetrackd --vmc 127.0.0.1:39539
#
# Written in what Godot 3 and Godot 4 both understand: no annotations, no types whose names differ.
# SPDX-License-Identifier: MIT OR Apache-2.0
extends Node

# A blend shape's new value, 0 to 1, under its Perfect Sync name, such as JawOpen.
signal blend_shape_received(shape_name, value)
# The head's turn as a Basis, for a head that looks along +z, as glTF models do.
signal head_received(basis)
# Whether facetrackd measures a face at the moment.
signal tracking_received(is_tracking)
# All of one frame was received.
signal frame_received()

# Port to listen on, and the address: "127.0.0.1" takes this machine's senders only, "*" everyone's.
var port = 39539
var bind_address = "127.0.0.1"
# The mesh whose blend shapes move, and the node that turns with the head. Both may stay empty.
var mesh_path = NodePath()
var head_path = NodePath()
# Put before every name where the model's blend shapes have one, and "true" where they are named as ARKit does: jawOpen.
var prefix = ""
var camel_case = false

var _socket = PacketPeerUDP.new()
var _neck = Basis()


func _get_property_list():
	return [
		{"name": "port", "type": TYPE_INT},
		{"name": "bind_address", "type": TYPE_STRING},
		{"name": "mesh_path", "type": TYPE_NODE_PATH},
		{"name": "head_path", "type": TYPE_NODE_PATH},
		{"name": "prefix", "type": TYPE_STRING},
		{"name": "camel_case", "type": TYPE_BOOL},
	]


func _ready():
	# Godot 4 renamed it.
	var method = "bind" if _socket.has_method("bind") else "listen"
	var error = _socket.call(method, port, bind_address)
	if error != OK:
		push_error("facetrackd: cannot listen on port %d (error %d); is another program using it?" % [port, error])


func _process(_delta):
	# A sender that floods the port shall not hold up the picture.
	for _i in range(64):
		if _socket.get_available_packet_count() == 0:
			return
		_read_packet(_socket.get_packet())


func _exit_tree():
	_socket.close()


func _read_packet(bytes):
	var reader = StreamPeerBuffer.new()
	reader.big_endian = true
	reader.data_array = bytes
	_read_element(reader, bytes, bytes.size())


# One message or bundle between the reader's place and `end`. What is malformed is left out.
func _read_element(reader, bytes, end):
	var address = _read_string(reader, bytes, end)
	if address == "#bundle":
		reader.seek(reader.get_position() + 8)
		while reader.get_position() + 4 <= end:
			var size = reader.get_32()
			var next = reader.get_position() + size
			if size <= 0 or next > end:
				return
			_read_element(reader, bytes, next)
			reader.seek(next)
	elif address != null and address.begins_with("/VMC/Ext/"):
		var args = _read_arguments(reader, bytes, end)
		if args != null:
			_apply(address, args)


func _read_arguments(reader, bytes, end):
	var tags = _read_string(reader, bytes, end)
	if tags == null or not tags.begins_with(","):
		return null
	var args = []
	for tag in tags.substr(1, tags.length() - 1):
		if tag == "s":
			var text = _read_string(reader, bytes, end)
			if text == null:
				return null
			args.append(text)
		elif (tag == "f" or tag == "i") and reader.get_position() + 4 <= end:
			args.append(reader.get_float() if tag == "f" else reader.get_32())
		else:
			return null
	return args


# A string with its padding, or null.
func _read_string(reader, bytes, end):
	var start = reader.get_position()
	var stop = start
	while stop < end and bytes[stop] != 0:
		stop += 1
	if stop >= end:
		return null
	var text = "" if stop == start else reader.get_data(stop - start)[1].get_string_from_ascii()
	reader.seek(start + ((stop - start) / 4 + 1) * 4)
	return text


func _apply(address, args):
	if address == "/VMC/Ext/Blend/Val" and args.size() == 2:
		_apply_blend_shape(args[0], args[1])
	elif address == "/VMC/Ext/Bone/Pos" and args.size() == 8:
		_apply_bone(args)
	elif address == "/VMC/Ext/OK" and args.size() == 4:
		emit_signal("tracking_received", args[3] == 1)
	elif address == "/VMC/Ext/Blend/Apply":
		emit_signal("frame_received")


func _apply_blend_shape(shape_name, value):
	emit_signal("blend_shape_received", shape_name, value)
	var mesh = get_node_or_null(mesh_path)
	if mesh != null:
		var own = shape_name.substr(0, 1).to_lower() + shape_name.substr(1, shape_name.length() - 1)
		mesh.set("blend_shapes/" + prefix + (own if camel_case else shape_name), value)


func _apply_bone(args):
	if args[0] == "Neck":
		_neck = _basis(args)
	elif args[0] == "Head":
		# One node turns for neck and head; the neck comes first in a frame.
		var turn = _neck * _basis(args)
		emit_signal("head_received", turn)
		var head = get_node_or_null(head_path)
		if head != null:
			var transform = head.transform
			transform.basis = turn
			head.transform = transform


# Unity's x is reversed here: an avatar's left is +x. The quaternion (x, y, z, w) becomes (x, -y, -z, w).
func _basis(args):
	var x = args[4]
	var y = -args[5]
	var z = -args[6]
	var w = args[7]
	return Basis(
		Vector3(1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)),
		Vector3(2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)),
		Vector3(2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y))
	)
