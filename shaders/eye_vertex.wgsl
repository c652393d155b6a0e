// As vertex.wgsl, but an eyeball under a closing lid is sunk along the line of sight: on some persons the model's ball
// stands before its own lid, and nothing but skin may show there.
@vertex
fn main(v: VertexIn) -> Surface {
    var clip = clip_position(v.position);
    let sunk = face.eyeball[i32(v.shade.x + 0.5)].w;
    clip.z *= clip.w / (clip.w + sunk);
    return surface(v, clip);
}
