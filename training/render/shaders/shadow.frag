#version 330
// Only hair lets light through its gaps.
in vec2 uv;
uniform sampler2D albedo;
uniform bool has_gaps;

void main() {
    if (has_gaps && texture(albedo, uv).g < .4) discard;
}
