// Vertex stage of every mesh but the eyeballs. No twin: `clip_position` has one.
@vertex
fn main(v: VertexIn) -> Surface {
    return surface(v, clip_position(v.position));
}
