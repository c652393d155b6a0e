#version 330
// Depth seen from the key light.
in vec3 position;
in vec2 texcoord;
uniform mat4 shadow_from_pack;
out vec2 uv;

void main() {
    uv = texcoord;
    gl_Position = shadow_from_pack * vec4(position, 1);
}
