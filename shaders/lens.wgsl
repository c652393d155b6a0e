// Spectacle lenses: a tint over what lies behind, and what they mirror.
@fragment
fn main(s: Surface) -> @location(0) vec4<f32> {
    let n0 = normalize(s.n);
    let v = normalize(face.eye_point[0].xyz - s.p);
    let n = select(-n0, n0, dot(n0, v) >= 0.0);
    let fresnel = 0.04 + 0.9 * pow(1.0 - max(dot(n, v), 0.0), 5.0);
    let r = reflect(-v, n);
    // A window or a screen in the mirror: a soft square around the lamps.
    let key = smoothstep(0.93, 0.97, dot(r, face.key_dir[0].xyz)) * face.key_color[0].rgb;
    let fill = smoothstep(0.90, 0.95, dot(r, face.fill_dir[0].xyz)) * face.fill_color[0].rgb;
    let mirror = fresnel * (1.5 * irradiance(r) + 3.0 * (key + fill));
    let tint = face.lens[0];
    let color = tint.rgb * tint.w * 0.4 * irradiance(n) + mirror;
    let luma = clamp(dot(to_sensor(mirror), vec3(0.33)), 0.0, 0.9);
    let alpha = max(tint.w, luma);
    return vec4(to_sensor(color), alpha);
}
