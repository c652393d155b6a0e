// Teeth, gums and tongue: wet, and darker the deeper they lie.
@fragment
fn main(s: Surface) -> @location(0) vec4<f32> {
    let ao = mix(0.03, 1.0, clamp(mix(s.shade.z, s.shade.w, face.mouth_eye[0].x) * 1.25, 0.0, 1.0));
    let depth = clamp((s.p.z + 36.0) / 50.0, 0.06, 1.0);
    let tooth = s.shade.x;
    let albedo = s.masks.rgb * mix(vec3(1.0), face.teeth[0].rgb, tooth);
    let n = normalize(s.n);
    let color = lit_plain(albedo, s.p, n, mix(0.45, 0.25, tooth), s.masks.w, ao * depth);
    return vec4(marked(to_sensor(color), s.p), 1.0);
}
