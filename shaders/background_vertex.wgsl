// One triangle over the whole picture.
struct Backdrop {
    @builtin(position) clip: vec4<f32>,
    @location(0) uv: vec2<f32>,
}

@vertex
fn main(@builtin(vertex_index) i: u32) -> Backdrop {
    let corner = vec2(f32((i << 1u) & 2u), f32(i & 2u));
    return Backdrop(vec4(corner * 2.0 - 1.0, 0.0, 1.0), vec2(corner.x, 1.0 - corner.y));
}
