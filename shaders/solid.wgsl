// Shoulders and things worn or held: one colour for each vertex.
@fragment
fn main(s: Surface) -> @location(0) vec4<f32> {
    let n0 = normalize(s.n);
    let v = normalize(face.eye_point[0].xyz - s.p);
    let n = select(-n0, n0, dot(n0, v) >= 0.0);
    let weave = textureSample(detail, smooth_sampler, s.p.xy * 0.02 + s.p.z * 0.013).b;
    let albedo = s.masks.rgb * (1.0 + s.shade.y * (weave - 0.5));
    let color = lit_plain(albedo, s.p, n, s.masks.w, s.shade.x, s.shade.z, irradiance(n), s.mirror);
    return vec4(marked(to_sensor(color), s.p), 1.0);
}
