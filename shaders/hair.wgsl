// Hair cards: grey detail times a colour, alpha sharpened to a pixel's width.
@fragment
fn main(s: Surface, @builtin(front_facing) front: bool) -> @location(0) vec4<f32> {
    let t = textureSample(hairs, smooth_sampler, s.uv, i32(face.layers[0].w));
    let coverage = clamp((t.g - 0.4) / max(fwidth(t.g), 0.02) + 0.5, 0.0, 1.0);
    let n0 = normalize(s.n);
    let v = normalize(face.eye_point[0].xyz - s.p);
    let n = select(-n0, n0, dot(n0, v) >= 0.0);
    let grey = t.r * 2.3;
    let albedo = min(face.hair[0].rgb * mix(grey, grey * grey, 0.45), vec3(0.75));
    let l = face.key_dir[0].xyz;
    let key = face.key_color[0].rgb * key_reaches(s.p, n * 3.0);
    let depth = 0.5 + 0.5 * smoothstep(-1.0, 1.0, dot(n0, v));
    var c = albedo * (irradiance(n) + key * clamp((dot(n, l) + 0.3) / 1.3, 0.0, 1.0)
        + face.fill_color[0].rgb * clamp((dot(n, face.fill_dir[0].xyz) + 0.3) / 1.3, 0.0, 1.0));
    // Strands run downward: a band of light around the head, as Kajiya and Kay's model has it.
    let strand = normalize(vec3(0.0, 1.0, 0.0) - n * n.y);
    let h = normalize(l + v);
    let along = dot(strand, h);
    let band = fourth(fourth(max(1.0 - along * along, 0.0))) * max(dot(n, l) + 0.2, 0.0);
    c += face.hair[0].w * t.r * (key * band * 0.5 + 0.10 * irradiance(reflect(-v, n))) * (0.3 + sqrt(albedo));
    return vec4(marked(to_sensor(c * depth), s.p), coverage);
}
