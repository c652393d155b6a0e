// Light on skin: wrapped diffuse as a cheap soft scatter, two lobes of gloss.

fn skin_lit(s: Surface, albedo: vec3<f32>, n: vec3<f32>, gloss: f32, ao: f32) -> vec3<f32> {
    let p = s.p;
    let v = normalize(face.eye_point[0].xyz - p);
    let l = face.key_dir[0].xyz;
    let f = face.fill_dir[0].xyz;
    let key = face.key_color[0].rgb * key_reaches(p, n);
    let wrap = vec3(0.30, 0.13, 0.07);
    let kd = clamp((vec3(dot(n, l)) + wrap) / (1.0 + wrap), vec3(0.0), vec3(1.0));
    let fd = clamp((vec3(dot(n, f)) + wrap) / (1.0 + wrap), vec3(0.0), vec3(1.0));
    // Deep creases glow red rather than grey: light that scatters under the skin comes out there.
    let crease = vec3(ao + 0.5 * ao * (1.0 - ao), ao, ao - 0.1 * ao * (1.0 - ao));
    var c = albedo * (s.soft * crease + (key * kd + face.fill_color[0].rgb * fd) * mix(ao, 1.0, 0.35));
    let fresnel = 0.35 + 0.65 * fourth(1.0 - max(dot(n, v), 0.0));
    let h = max(dot(n, normalize(l + v)), 0.0);
    let h16 = fourth(fourth(h));
    let f16 = fourth(fourth(max(dot(n, normalize(f + v)), 0.0)));
    let lobes = key * (h16 + 1.2 * fourth(h16)) * step(0.0, dot(n, l)) + face.fill_color[0].rgb * f16 * step(0.0, dot(n, f));
    c += gloss * fresnel * ao * (lobes + 0.14 * s.mirror);
    return c;
}

// Bends the normal by the grain of the skin; `grain` is the detail texture's first two channels around zero.
fn grained(n: vec3<f32>, grain: vec2<f32>, strength: f32) -> vec3<f32> {
    let side = normalize(cross(vec3(0.0, 1.0, 0.001), n));
    return normalize(n + strength * (side * grain.x + cross(n, side) * grain.y));
}

fn occlusion(shade: vec4<f32>) -> f32 {
    let ao = mix(shade.z, shade.w, face.mouth_eye[0].x);
    return mix(0.06, 1.0, clamp(ao * 1.5, 0.0, 1.0));
}

// Hair growing out of the skin: stubble darkens it, a full beard covers it.
fn bearded(albedo: vec3<f32>, mask: f32, noise: f32) -> vec4<f32> {
    let full = face.beard_shape[0].z;
    let grain = mix(0.55 + 0.9 * noise, 0.75 + 0.5 * noise, full);
    let cover = clamp(mask * face.beard[0].w * mix(1.0, 1.35, full) * grain, 0.0, mix(0.75, 0.97, full));
    let dark = face.beard[0].rgb * mix(1.0, 0.45 + 1.1 * noise, full);
    return vec4(mix(albedo, mix(albedo * 0.25 + dark * 0.5, dark, full), cover), cover);
}
