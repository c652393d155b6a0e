# Runs the Godot client without a window: prints what its signals say, and quits after three frames.
# The first may have begun before it listened.
extends SceneTree

var face = null
var head = Spatial.new()
var frames = 0


func _initialize():
	var script = load(OS.get_environment("FACETRACKD_RECEIVER"))
	if script == null:
		print("the client cannot be loaded")
		quit()
		return
	face = script.new()
	face.port = int(OS.get_environment("FACETRACKD_PORT"))
	head.name = "head"
	get_root().add_child(head)
	face.head_path = NodePath("/root/head")
	face.connect("blend_shape_received", self, "_on_blend_shape")
	face.connect("tracking_received", self, "_on_tracking")
	face.connect("frame_received", self, "_on_frame")
	get_root().add_child(face)


func _on_blend_shape(shape_name, value):
	print("blend %s %f" % [shape_name, value])


func _on_tracking(is_tracking):
	print("tracking %s" % is_tracking)


func _on_frame():
	var nose = head.transform.basis.z
	var left_ear = head.transform.basis.x
	print("nose %f %f %f" % [nose.x, nose.y, nose.z])
	print("left_ear %f %f %f" % [left_ear.x, left_ear.y, left_ear.z])
	frames += 1
	if frames == 3:
		quit()
