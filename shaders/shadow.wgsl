// Depth from the key light, over the coarse head.
@vertex
fn main(@location(0) position: vec3<f32>) -> @builtin(position) vec4<f32> {
    let h = vec4(position, 1.0);
    let s = vec3(dot(face.shadow[0], h), dot(face.shadow[1], h), dot(face.shadow[2], h));
    return vec4(s.xy * 2.0 - 1.0, s.z, 1.0);
}
