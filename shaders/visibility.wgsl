// For each labelled point the share of samples around it that no other surface covers.
struct Job {
    count: u32,
    base: u32,
    near_mm: f32,
    tolerance_mm: f32,
}

@group(0) @binding(0) var depth: texture_depth_multisampled_2d;
// x, y in pixels of the picture, z the distance along the camera's axis in millimetres.
@group(0) @binding(1) var<storage, read> points: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> shares: array<f32>;
@group(0) @binding(3) var<uniform> job: Job;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= job.count {
        return;
    }
    let point = points[job.base + id.x];
    let size = vec2<i32>(textureDimensions(depth));
    var seen = 0.0;
    var total = 0.0;
    for (var k = 0; k < 5; k++) {
        let offset = vec2(select(0, k * 2 - 3, k == 1 || k == 2), select(0, k * 2 - 7, k >= 3));
        let at = vec2<i32>(floor(point.xy)) + offset;
        if all(at >= vec2(0)) && all(at < size) {
            for (var i = 0; i < 4; i++) {
                let z = job.near_mm / max(textureLoad(depth, at, i), 0.000001);
                seen += select(0.0, 1.0, z > point.z - job.tolerance_mm);
                total += 1.0;
            }
        }
    }
    shares[job.base + id.x] = select(0.0, seen / total, total > 0.0);
}
