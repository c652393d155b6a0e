//! Lines of age, drawn over the upper half of the face's chart: forehead, between the brows, crow's feet, under the eyes, from
//! nose to mouth. They lie beside the brows in one texture, so that the shader gets both at once.

use super::pack::Picture;
use super::rng::Rng;
use glam::Vec2;

/// A line through points of the chart (u, v; v up), its half width in u, and how deep it is.
struct Line {
    points: &'static [[f32; 2]],
    width: f32,
    depth: f32,
}

/// The right half of the face, u below 0.5; the left is its mirror image. Placed by the landmarks' texture coordinates: brow at
/// v 0.80, outer corner of the eye at (0.30, 0.72), wing of the nose at (0.40, 0.57).
const LINES: [Line; 15] = [
    Line { points: &[[0.35, 0.829], [0.42, 0.833], [0.50, 0.826]], width: 0.0032, depth: 0.75 },
    Line { points: &[[0.34, 0.848], [0.42, 0.853], [0.50, 0.847]], width: 0.0035, depth: 1.0 },
    Line { points: &[[0.35, 0.868], [0.43, 0.873], [0.50, 0.868]], width: 0.0035, depth: 0.9 },
    Line { points: &[[0.38, 0.888], [0.44, 0.892], [0.50, 0.889]], width: 0.0030, depth: 0.6 },
    Line { points: &[[0.489, 0.762], [0.486, 0.782], [0.489, 0.800]], width: 0.0028, depth: 0.8 },
    Line { points: &[[0.287, 0.731], [0.263, 0.743], [0.243, 0.750]], width: 0.0024, depth: 0.8 },
    Line { points: &[[0.283, 0.724], [0.258, 0.728], [0.236, 0.730]], width: 0.0026, depth: 1.0 },
    Line { points: &[[0.283, 0.716], [0.260, 0.711], [0.240, 0.706]], width: 0.0026, depth: 0.9 },
    Line { points: &[[0.286, 0.708], [0.266, 0.697], [0.250, 0.688]], width: 0.0022, depth: 0.6 },
    Line { points: &[[0.310, 0.686], [0.350, 0.672], [0.410, 0.680]], width: 0.0035, depth: 0.7 },
    Line { points: &[[0.319, 0.674], [0.352, 0.660], [0.400, 0.664]], width: 0.0040, depth: 0.45 },
    Line { points: &[[0.335, 0.678], [0.370, 0.669], [0.405, 0.672]], width: 0.0020, depth: 0.4 },
    Line { points: &[[0.404, 0.588], [0.386, 0.556], [0.371, 0.526]], width: 0.0060, depth: 0.9 },
    Line { points: &[[0.371, 0.526], [0.363, 0.512], [0.356, 0.500]], width: 0.0055, depth: 0.7 },
    Line { points: &[[0.470, 0.716], [0.485, 0.722], [0.500, 0.723]], width: 0.0024, depth: 0.5 },
];

/// Depth of the lines, a byte for each pixel of the chart's upper half, row 0 at v = 1.
fn depth(width: usize, height: usize) -> Vec<u8> {
    let mut out = vec![0.0f32; width * height];
    let mut rng = Rng::new(0xA6E, 0);
    for line in &LINES {
        for mirrored in [false, true] {
            let phase = rng.range(0.0, std::f32::consts::TAU);
            draw(&mut out, width, height, line, mirrored, phase);
        }
    }
    out.into_iter().map(|v| (v.min(1.0) * 255.0).round() as u8).collect()
}

/// Dots along the line, close enough to run together; its ends taper, unless they meet their mirror image.
fn draw(out: &mut [f32], width: usize, height: usize, line: &Line, mirrored: bool, phase: f32) {
    const STEPS: usize = 160;
    for k in 0..=STEPS {
        let t = k as f32 / STEPS as f32;
        let at = t * (line.points.len() - 1) as f32;
        let i = (at as usize).min(line.points.len() - 2);
        let (a, b) = (Vec2::from_array(line.points[i]), Vec2::from_array(line.points[i + 1]));
        let mut p = a.lerp(b, at - i as f32);
        p.y += 0.0012 * (23.0 * t + phase).sin();
        let to_the_middle = line.points.last().is_some_and(|p| p[0] >= 0.5);
        let taper = (4.0 * t).min(if to_the_middle { 1.0 } else { 4.0 * (1.0 - t) }).min(1.0);
        if mirrored {
            p.x = 1.0 - p.x;
        }
        let reach = (3.0 * line.width * width as f32).ceil() as i64;
        let (cx, cy) = (p.x * width as f32, (1.0 - p.y) * 2.0 * height as f32);
        for y in (cy as i64 - reach).max(0)..(cy as i64 + reach + 1).min(height as i64) {
            for x in (cx as i64 - reach).max(0)..(cx as i64 + reach + 1).min(width as i64) {
                let d = Vec2::new(x as f32 + 0.5 - cx, y as f32 + 0.5 - cy) / (line.width * width as f32);
                let value = line.depth * taper * (-d.length_squared()).exp();
                let pixel = &mut out[y as usize * width + x as usize];
                *pixel = pixel.max(value);
            }
        }
    }
}

/// Brow maps with the lines as their second channel.
pub fn beside_brows(brows: &[Picture]) -> Vec<Picture> {
    let Some((width, height)) = brows.first().map(|b| (b.width, b.height)) else { return Vec::new() };
    let lines = depth(width as usize, height as usize);
    let with_lines = |brow: &Picture| Picture {
        width,
        height,
        channels: 2,
        data: brow.data.iter().zip(&lines).flat_map(|(b, l)| [*b, *l]).collect(),
    };
    brows.iter().map(with_lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_drawn_on_both_halves_and_leave_most_of_the_face_smooth() {
        let (w, h) = (512, 256);
        let d = depth(w, h);
        let share = |keep: &dyn Fn(usize) -> bool| {
            d.iter().enumerate().filter(|(i, v)| keep(i % w) && **v > 128).count() as f32 / d.len() as f32
        };
        let (right, left) = (share(&|x| x < w / 2), share(&|x| x >= w / 2));
        assert!(right > 0.003 && (left / right - 1.0).abs() < 0.2, "{left} {right}");
        assert!(left + right < 0.06);
    }
}
