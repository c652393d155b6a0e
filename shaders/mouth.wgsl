// Teeth, gums and tongue: wet, and darker the deeper they lie.
@fragment
fn main(s: Surface) -> @location(0) vec4<f32> {
    let reached = face.tongue[0].w;
    let baked = mix(max(0.05, reached), 1.0, clamp(mix(s.shade.z, s.shade.w, face.mouth_eye[0].x) * 1.4, 0.0, 1.0));
    // The tongue's occlusion was baked in a shut mouth; where it comes to the front, it lies in the light.
    // Where lips part, the front teeth lie in the light, however shut the jaw is.
    let shown = face.teeth[0].w * s.shade.x * smoothstep(-28.0, -4.0, s.p.z);
    let out = shown + face.tongue[0].x * s.shade.y * smoothstep(face.tongue[0].y, face.tongue[0].z, s.p.z);
    let ao = mix(baked, 0.95, out);
    let depth = mix(clamp((s.p.z + 36.0) / 46.0, max(0.10, reached), 1.0), 1.0, out);
    let tooth = s.shade.x;
    let albedo = s.masks.rgb * mix(vec3(1.0), face.teeth[0].rgb, tooth);
    let n = normalize(s.n);
    let color = lit_plain(albedo, s.p, n, mix(0.45, 0.25, tooth), s.masks.w, ao * depth, s.soft, s.mirror);
    return vec4(marked(to_sensor(color), s.p), 1.0);
}
