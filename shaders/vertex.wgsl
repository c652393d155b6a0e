// Vertex stage of every mesh. No twin: `clip_position` has one.
@vertex
fn main(v: VertexIn) -> Surface {
    var out: Surface;
    out.clip = clip_position(v.position);
    out.p = v.position;
    out.n = unpack_normal(v.normal);
    out.uv = v.uv;
    out.masks = v.masks;
    out.shade = v.shade;
    return out;
}
