#version 330
// Per pixel: the place on the mean head (pack centimetres) and how squarely the surface faces the camera, with the part.
in vec3 light_normal, light_position, anchor;
out vec4 surface;
uniform float part;   // 1, 2, ... as the parts are listed; the background is 0

void main() {
    float facing = clamp(dot(normalize(light_normal), normalize(-light_position)), 0., .999);
    surface = vec4(anchor, part + facing);
}
