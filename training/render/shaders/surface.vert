#version 330
// The same geometry, carrying its place on the mean head instead of light.
in vec3 position;
in vec3 normal;
in vec3 neutral;
uniform mat4 clip_from_pack;
uniform mat4 light_from_pack;
out vec3 light_normal, light_position, anchor;

void main() {
    light_normal = mat3(light_from_pack) * normal;
    light_position = (light_from_pack * vec4(position, 1)).xyz;
    anchor = neutral;
    gl_Position = clip_from_pack * vec4(position, 1);
}
