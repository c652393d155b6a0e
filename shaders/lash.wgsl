// Lashes: tapered strokes along the strip, which make a line where they grow; where they are finer than a pixel, their mean
// coverage.
fn hash(x: f32) -> f32 {
    return fract(sin(x * 127.1) * 43758.547);
}

@fragment
fn main(s: Surface) -> @location(0) vec4<f32> {
    let make_up = face.eye_make_up[0];
    let line = face.lash_line[0];
    let count = 26.0;
    let x = s.uv.x * count;
    let k = floor(x);
    let length = (0.55 + 0.45 * hash(k)) * make_up.z;
    let half_width = 0.5 * line.w * clamp(1.0 - s.uv.y / length, 0.0, 1.0);
    let blur = fwidth(x);
    let stroke = clamp((half_width - abs(fract(x) - 0.5)) / max(blur, 0.001) + 0.5, 0.0, 1.0) * step(0.001, half_width);
    let strokes = mix(stroke, 2.0 * half_width, clamp(blur * 1.5 - 0.25, 0.0, 1.0)) * make_up.y;
    // Of what the pixel sees of the strip, the share that lies within the line.
    let reach = 0.5 * fwidth(s.uv.y);
    let from_root = max(s.uv.y - reach, 0.0);
    let to_tip = min(s.uv.y + reach, 1.0);
    let roots = clamp((line.z - from_root) / max(to_tip - from_root, 0.001), 0.0, 1.0) * line.x;
    let coverage = max(strokes, roots) * mix(line.y, 1.0, s.masks.x);
    // Lashes are darker than brows, and black under mascara.
    let albedo = 0.006 + 0.35 * face.brow[0].rgb * (1.0 - make_up.x);
    return vec4(to_sensor(albedo * (s.soft + 0.4 * face.key_color[0].rgb)), coverage);
}
