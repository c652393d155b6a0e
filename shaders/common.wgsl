// Shared by all passes; prefixed with the `Face` struct made by src/gpu/uniform.rs.
// `clip_position` is the twin of `Camera::project` in src/gpu/camera.rs, `irradiance` of the one in src/gpu/light.rs.

@group(0) @binding(0) var<uniform> face: Face;
@group(0) @binding(1) var smooth_sampler: sampler;
@group(0) @binding(2) var face_skins: texture_2d_array<f32>;
@group(0) @binding(3) var head_skins: texture_2d_array<f32>;
@group(0) @binding(4) var brows: texture_2d_array<f32>;
@group(0) @binding(5) var irises: texture_2d_array<f32>;
@group(0) @binding(6) var hairs: texture_2d_array<f32>;
@group(0) @binding(7) var detail: texture_2d<f32>;
@group(0) @binding(8) var backdrops: texture_2d_array<f32>;
@group(0) @binding(9) var shadow_map: texture_depth_2d;
@group(0) @binding(10) var shadow_sampler: sampler_comparison;

struct VertexIn {
    @location(0) position: vec3<f32>,
    @location(1) normal: vec2<f32>,
    @location(2) uv: vec2<f32>,
    @location(3) masks: vec4<f32>,
    @location(4) shade: vec4<f32>,
}

struct Surface {
    @builtin(position) clip: vec4<f32>,
    @location(0) p: vec3<f32>,
    @location(1) n: vec3<f32>,
    @location(2) uv: vec2<f32>,
    @location(3) masks: vec4<f32>,
    @location(4) shade: vec4<f32>,
    // Soft light on the surface, and what it mirrors: smooth enough to be taken at the vertices.
    @location(5) soft: vec3<f32>,
    @location(6) mirror: vec3<f32>,
}

fn clip_position(p: vec3<f32>) -> vec4<f32> {
    let h = vec4(p, 1.0);
    let c = vec3(dot(face.camera[0], h), dot(face.camera[1], h), dot(face.camera[2], h));
    var n = c.xy / c.z;
    let r2 = min(dot(n, n), 2.0);
    n *= 1.0 + r2 * (face.warp[0].x + r2 * face.warp[0].y);
    var f = n * face.pinhole[0].x + face.pinhole[0].yz;
    f += face.warp[0].zw * (f.y / face.size[0].y - 0.5);
    let q = vec2(dot(face.crop[0].xy, f) + face.crop[0].z, dot(face.crop[1].xy, f) + face.crop[1].z);
    let ndc = vec2(2.0 * q.x / face.size[0].z - 1.0, 1.0 - 2.0 * q.y / face.size[0].w);
    // Reversed depth: near plane over distance.
    return vec4(ndc * c.z, face.pinhole[0].w, c.z);
}

fn unpack_normal(e: vec2<f32>) -> vec3<f32> {
    var n = vec3(e, 1.0 - abs(e.x) - abs(e.y));
    let t = max(-n.z, 0.0);
    n.x -= select(-t, t, n.x >= 0.0);
    n.y -= select(-t, t, n.y >= 0.0);
    return normalize(n);
}

fn irradiance(n: vec3<f32>) -> vec3<f32> {
    let sum = face.sh[0] + face.sh[1] * n.y + face.sh[2] * n.z + face.sh[3] * n.x
        + face.sh[4] * (n.x * n.y) + face.sh[5] * (n.y * n.z) + face.sh[6] * (3.0 * n.z * n.z - 1.0)
        + face.sh[7] * (n.x * n.z) + face.sh[8] * (n.x * n.x - n.y * n.y);
    return max(sum.rgb, vec3(0.0));
}

fn surface(v: VertexIn, clip: vec4<f32>) -> Surface {
    let n = unpack_normal(v.normal);
    let view = normalize(face.eye_point[0].xyz - v.position);
    return Surface(clip, v.position, n, v.uv, v.masks, v.shade, irradiance(n), irradiance(reflect(-view, n)));
}

// 1 where the key light reaches, softened over a few millimetres.
fn key_reaches(p: vec3<f32>, n: vec3<f32>) -> f32 {
    let h = vec4(p + n * 1.5, 1.0);
    let s = vec3(dot(face.shadow[0], h), dot(face.shadow[1], h), dot(face.shadow[2], h));
    // One filtered tap of a coarse map: as soft as a lamp of a hand's width, and the dearest thing in the shader.
    let lit = textureSampleCompareLevel(shadow_map, shadow_sampler, vec2(s.x, 1.0 - s.y), s.z);
    return 1.0 - face.key_dir[0].w * (1.0 - lit);
}

// Textures hold the square root of linear colour.
fn linear_color(t: vec3<f32>) -> vec3<f32> {
    return t * t;
}

// Square root of the sensor's linear value; 1 is twice the white level, so that highlights survive until the lens blurs
// them. src/gpu/faults.rs decodes it.
fn to_sensor(color: vec3<f32>) -> vec3<f32> {
    return sqrt(clamp(color * face.white_balance[0].rgb * (0.5 * face.key_color[0].w), vec3(0.0), vec3(1.0)));
}

fn fourth(x: f32) -> f32 {
    let y = x * x;
    return y * y;
}

// Plain surface: diffuse from all lights, a specular lobe of both lamps. `soft` is the soft light on it, `mirror` what it mirrors.
fn lit_plain(
    albedo: vec3<f32>, p: vec3<f32>, n: vec3<f32>, rough: f32, spec: f32, ao: f32, soft: vec3<f32>, mirror: vec3<f32>,
) -> vec3<f32> {
    let v = normalize(face.eye_point[0].xyz - p);
    let l = face.key_dir[0].xyz;
    let f = face.fill_dir[0].xyz;
    let key = face.key_color[0].rgb * key_reaches(p, n);
    let power = mix(220.0, 8.0, rough);
    let shine = spec * (0.04 + 0.96 * fourth(1.0 - max(dot(n, v), 0.0))) * (power + 8.0) * 0.125;
    var c = albedo * (soft + key * max(dot(n, l), 0.0) + face.fill_color[0].rgb * max(dot(n, f), 0.0));
    c += shine * key * pow(max(dot(n, normalize(l + v)), 0.0), power) * max(dot(n, l), 0.0);
    c += shine * face.fill_color[0].rgb * pow(max(dot(n, normalize(f + v)), 0.0), power) * max(dot(n, f), 0.0);
    c += spec * (1.0 - rough) * (0.04 + 0.5 * fourth(1.0 - max(dot(n, v), 0.0))) * mirror;
    return c * ao;
}

// Paints the test marker over whatever is drawn there.
fn marked(color: vec3<f32>, p: vec3<f32>) -> vec3<f32> {
    let m = face.marker[0];
    return select(color, vec3(1.0, 0.0, 1.0), m.w > 0.0 && distance(p, m.xyz) < m.w);
}
