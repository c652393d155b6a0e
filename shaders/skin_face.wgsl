// The face: albedo, brows, beard, make-up, blemishes.

fn upper_chart(uv: vec2<f32>) -> vec2<f32> {
    return vec2(uv.x, min(uv.y * 2.0, 1.0));
}

// Where the map has what is painted here: the inverse of `BrowPlace::moved` in src/gpu/brows.rs, but that v is down.
fn brow_at(uv: vec2<f32>) -> vec2<f32> {
    let middle = vec2(0.165, 1.0 - 0.782);
    let left = uv.x > 0.5;
    let place = face.brow_place[select(1, 0, left)];
    let side = select(-1.0, 1.0, left);
    let out = (uv.x - 0.5) * side;
    let rise = place.y + place.z * (out - middle.x);
    let down = middle.y + (uv.y - middle.y + rise) / place.w;
    return upper_chart(vec2(0.5 + side * (out - place.x), down));
}

@fragment
fn main(s: Surface) -> @location(0) vec4<f32> {
    let texel = textureSample(face_skins, smooth_sampler, s.uv, i32(face.layers[0].x)).rgb;
    let grain = textureSample(detail, smooth_sampler, s.uv * 7.0);
    let upper = step(s.uv.y, 0.5);
    // Strands finer than a texel of the level fade; the bias and the gain give the brow its weight back.
    let hairs = textureSampleBias(brows, smooth_sampler, brow_at(s.uv), i32(face.layers[0].y), -0.8).r;
    let lined = textureSampleBias(brows, smooth_sampler, upper_chart(s.uv), i32(face.layers[0].y), -0.8).g;
    let line = lined * upper * face.skin_detail[0].w;
    let brow = clamp(hairs * 1.7, 0.0, 1.0) * upper * face.brow[0].w;
    var albedo = linear_color(texel) * face.skin[0].rgb;
    let lips = s.masks.z;
    // Freckles and blemishes stay off the lips.
    let freckle = smoothstep(0.72, 0.80, grain.a) * face.skin_detail[0].z;
    let blemish = smoothstep(0.955, 0.985, grain.a) * face.skin_detail[0].y;
    albedo *= 1.0 - (1.0 - lips) * (freckle * vec3(0.25, 0.38, 0.45) + blemish * vec3(0.10, 0.45, 0.42));
    albedo *= 1.0 + (grain.b - 0.5) * vec3(0.07, 0.11, 0.11) * (0.4 + face.skin_detail[0].y);
    // Lines of age: little light comes out of them, and that is red.
    albedo *= 1.0 - line * vec3(0.28, 0.42, 0.45);
    albedo = mix(albedo, face.blush[0].rgb * albedo * 2.2, s.shade.x * face.blush[0].w);
    albedo = mix(albedo, face.eye_shadow[0].rgb, s.masks.w * face.eye_shadow[0].w);
    albedo = mix(albedo, face.lips[0].rgb * (0.6 + 0.8 * texel.g), lips * face.lips[0].w);
    // Where lids lie on each other no light comes out.
    let shut = smoothstep(0.75, 0.97, face.lid_lower[select(1, 0, s.p.x > 0.0)].w);
    let joined = shut * smoothstep(0.15, 0.75, s.shade.y) * face.lash_line[0].x;
    albedo = mix(albedo, vec3(0.015), max(s.shade.y * face.eye_make_up[0].x, joined));
    let shape = max(s.masks.x * face.beard_shape[0].x, s.masks.y * face.beard_shape[0].y);
    let hair = bearded(albedo, shape, grain.b);
    albedo = mix(hair.rgb, face.brow[0].rgb * (0.7 + 0.6 * grain.b), brow * 0.94);
    let n = grained(normalize(s.n), grain.rg * 2.0 - 1.0, face.skin_detail[0].x);
    let gloss = face.skin[0].w * (1.0 + 1.6 * lips * (0.3 + face.lips[0].w)) * (1.0 - 0.7 * max(brow, hair.a));
    let color = skin_lit(s, albedo, n, gloss, occlusion(s.shade) * (1.0 - 0.3 * line));
    return vec4(marked(to_sensor(color), s.p), 1.0);
}
