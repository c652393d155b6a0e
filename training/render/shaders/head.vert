#version 330
// One vertex of any part of the head, in pack space (centimetres).
in vec3 position;
in vec3 normal;
in vec3 neutral;   // the same vertex on the mean head: where procedural shading is anchored
in float occlusion;
in vec2 texcoord;
uniform mat4 clip_from_pack;
uniform mat4 light_from_pack;
out vec3 light_normal, light_position, anchor;
out vec2 uv;
out float open_sky;

void main() {
    open_sky = occlusion;
    light_normal = mat3(light_from_pack) * normal;
    light_position = (light_from_pack * vec4(position, 1)).xyz;
    anchor = neutral;
    uv = texcoord;
    gl_Position = clip_from_pack * vec4(position, 1);
}
