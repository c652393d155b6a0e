// Lashes: tapered strokes along the strip; where they are finer than a pixel, their mean coverage.
fn hash(x: f32) -> f32 {
    return fract(sin(x * 127.1) * 43758.547);
}

@fragment
fn main(s: Surface) -> @location(0) vec4<f32> {
    let count = 26.0;
    let x = s.uv.x * count;
    let k = floor(x);
    let length = (0.55 + 0.45 * hash(k)) * face.eye_make_up[0].z;
    let half_width = 0.22 * clamp(1.0 - s.uv.y / length, 0.0, 1.0);
    let blur = fwidth(x);
    let stroke = clamp((half_width - abs(fract(x) - 0.5)) / max(blur, 0.001) + 0.5, 0.0, 1.0) * step(0.001, half_width);
    let coverage = mix(stroke, 2.0 * half_width, clamp(blur * 1.5 - 0.25, 0.0, 1.0)) * face.eye_make_up[0].y;
    let color = vec3(0.012) * (s.soft + 0.4 * face.key_color[0].rgb);
    return vec4(to_sensor(color), coverage);
}
