// Eyeball: painted iris under a wet film, darkened where the lids touch it.
@fragment
fn main(s: Surface) -> @location(0) vec4<f32> {
    let side = i32(s.shade.x + 0.5);
    // The pack paints an iris of 6.2 mm radius; a human's has 5.85 mm, and so have the labels.
    let at = vec2(0.5) + (s.uv - vec2(0.5)) * (6.2 / 5.85);
    let texel = textureSample(irises, smooth_sampler, at, i32(face.layers[0].z)).rgb;
    let r = distance(at, vec2(0.5));
    let white = smoothstep(0.125, 0.15, r);
    var albedo = linear_color(texel);
    let red = face.eye_make_up[0].w * smoothstep(0.14, 0.30, r);
    albedo *= mix(vec3(face.mouth_eye[0].w), face.mouth_eye[0].y * vec3(1.0, 1.0 - 0.35 * red, 1.0 - 0.30 * red), white);
    let d = normalize(s.p - face.eyeball[side].xyz);
    let x = d.x;
    let up = face.lid_upper[side];
    let low = face.lid_lower[side];
    let to_upper = up.x + x * (up.y + x * up.z) - d.y;
    let to_lower = d.y - (low.x + x * (low.y + x * low.z));
    let contact = (1.0 - 0.75 * exp(-max(to_upper, 0.0) * 7.0)) * (1.0 - 0.45 * exp(-max(to_lower, 0.0) * 11.0));
    let ao = mix(1.0, contact, face.mouth_eye[0].z);
    // The cornea bulges over the iris: its highlight sits on a rounder, smaller ball than the white's.
    let n = normalize(s.n);
    let v = normalize(face.eye_point[0].xyz - s.p);
    let key = face.key_color[0].rgb * key_reaches(s.p, n);
    let l = face.key_dir[0].xyz;
    let f = face.fill_dir[0].xyz;
    var c = albedo * (s.soft + key * clamp((dot(n, l) + 0.2) / 1.2, 0.0, 1.0)
        + face.fill_color[0].rgb * clamp((dot(n, f) + 0.2) / 1.2, 0.0, 1.0)) * ao;
    let fresnel = 0.04 + 0.5 * fourth(1.0 - max(dot(n, v), 0.0));
    let hk = max(dot(n, normalize(l + v)), 0.0);
    let hf = max(dot(n, normalize(f + v)), 0.0);
    c += 4.0 * key * pow(hk, 400.0) + 3.0 * face.fill_color[0].rgb * pow(hf, 250.0);
    c += fresnel * ao * s.mirror;
    // Tears stand along the lower lid: a round wet edge that mirrors whatever is above it.
    let edge = (to_lower - 0.06) / 0.025;
    c += exp(-edge * edge) * (0.12 * s.mirror + 0.10 * key + 0.06 * face.fill_color[0].rgb) * face.mouth_eye[0].z;
    return vec4(marked(to_sensor(c), s.p), 1.0);
}
