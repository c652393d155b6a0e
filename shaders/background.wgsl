// What is behind the head: a window of an environment, a plain wall, clutter. Drawn at the far end of depth.
struct Backdrop {
    @builtin(position) clip: vec4<f32>,
    @location(0) uv: vec2<f32>,
}

fn hash2(p: vec2<f32>) -> f32 {
    return fract(sin(dot(p, vec2(127.1, 311.7)) + face.clutter[0].z) * 43758.547);
}

// A few upright boxes: shelves, door frames, screens.
fn clutter(p: vec2<f32>) -> f32 {
    var sum = 0.0;
    for (var i = 0; i < 2; i++) {
        let q = p * (2.0 + 2.5 * f32(i)) + 17.0 * f32(i);
        sum += (hash2(floor(q)) - 0.5) / (1.0 + f32(i));
    }
    return sum;
}

@fragment
fn main(s: Backdrop) -> @location(0) vec4<f32> {
    let w = face.background[0];
    let at = vec2(w.y, w.z) + s.uv * vec2(w.w, face.clutter[0].x);
    let room = linear_color(textureSample(backdrops, smooth_sampler, at, i32(max(w.x, 0.0))).rgb);
    let wall = face.wall[0].rgb * (1.0 + face.clutter[0].y * clutter(s.uv)) * (1.1 - 0.35 * s.uv.y);
    let color = mix(room, wall, face.wall[0].w) * face.clutter[0].w;
    return vec4(to_sensor(max(color, vec3(0.0)) / max(face.key_color[0].w, 0.0001)), 1.0);
}
