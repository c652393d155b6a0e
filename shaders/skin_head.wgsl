// Scalp, ears, neck, and the sockets of eyes and mouth.
@fragment
fn main(s: Surface) -> @location(0) vec4<f32> {
    let texel = textureSample(head_skins, smooth_sampler, s.uv, i32(face.layers[0].x)).rgb;
    let grain = textureSample(detail, smooth_sampler, s.uv * 5.0);
    var albedo = linear_color(texel) * face.skin[0].rgb;
    albedo *= 1.0 + (grain.b - 0.5) * 0.12;
    let hair = bearded(albedo, s.masks.x * face.beard_shape[0].x, grain.b);
    let n = grained(normalize(s.n), grain.rg * 2.0 - 1.0, face.skin_detail[0].x);
    let color = skin_lit(s, hair.rgb, n, face.skin[0].w * (1.0 - 0.7 * hair.a), occlusion(s.shade));
    return vec4(marked(to_sensor(color), s.p), 1.0);
}
