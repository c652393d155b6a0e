//! The pack's pictures as texture arrays with mip levels, and the grain of skin and stubble, which is made here.

use super::mesh::StaticVertex;
use super::pack::{HairAsset, Picture};
use super::rng::Rng;
use std::collections::HashMap;

/// What a picture's numbers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// sRGB; stored as the square root of linear colour, which filters well and costs the shader one product.
    Color,
    /// Alpha and detail, stored as they are.
    Raw,
}

/// Linear value of an sRGB byte.
pub fn srgb_to_linear(v: u8) -> f32 {
    let c = f32::from(v) / 255.0;
    if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
}

/// sRGB value, 0 to 1, of a linear one.
pub fn linear_to_srgb(c: f32) -> f32 {
    if c <= 0.003_130_8 { 12.92 * c } else { 1.055 * c.powf(1.0 / 2.4) - 0.055 }
}

/// Moves pictures of one size into the layers of a texture.
pub fn upload_array(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    pictures: &[&Picture],
    encoding: Encoding,
) -> wgpu::TextureView {
    let (width, height, channels) = pictures.first().map_or((1, 1, 3), |p| (p.width, p.height, p.channels));
    let format = match channels {
        1 => wgpu::TextureFormat::R8Unorm,
        2 => wgpu::TextureFormat::Rg8Unorm,
        _ => wgpu::TextureFormat::Rgba8Unorm,
    };
    let levels = width.min(height).ilog2().min(7) + 1;
    let size = wgpu::Extent3d { width, height, depth_or_array_layers: pictures.len() as u32 };
    let texture = create(device, size, levels, format);
    let sqrt: [u8; 256] = std::array::from_fn(|v| (srgb_to_linear(v as u8).sqrt() * 255.0).round() as u8);
    for (layer, picture) in pictures.iter().enumerate() {
        let texel: Vec<u8> = match (encoding, channels) {
            (Encoding::Color, _) => picture
                .data
                .chunks_exact(3)
                .flat_map(|p| [sqrt[p[0] as usize], sqrt[p[1] as usize], sqrt[p[2] as usize], 255])
                .collect(),
            (Encoding::Raw, _) => picture.data.clone(),
        };
        write_levels(queue, &texture, layer as u32, width, height, levels, texel);
    }
    texture.create_view(&wgpu::TextureViewDescriptor {
        dimension: Some(wgpu::TextureViewDimension::D2Array),
        ..wgpu::TextureViewDescriptor::default()
    })
}

fn create(
    device: &wgpu::Device,
    size: wgpu::Extent3d,
    levels: u32,
    format: wgpu::TextureFormat,
) -> wgpu::Texture {
    device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size,
        mip_level_count: levels,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
        view_formats: &[],
    })
}

fn write_levels(
    queue: &wgpu::Queue,
    texture: &wgpu::Texture,
    layer: u32,
    mut width: u32,
    mut height: u32,
    levels: u32,
    mut data: Vec<u8>,
) {
    for level in 0..levels {
        let bytes = data.len() as u32 / (width * height);
        queue.write_texture(
            wgpu::TexelCopyTextureInfo {
                texture,
                mip_level: level,
                origin: wgpu::Origin3d { x: 0, y: 0, z: layer },
                aspect: wgpu::TextureAspect::All,
            },
            &data,
            wgpu::TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some(width * bytes),
                rows_per_image: Some(height),
            },
            wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        );
        data = halved(&data, width as usize, height as usize, bytes as usize);
        (width, height) = (width / 2, height / 2);
    }
}

fn halved(data: &[u8], width: usize, height: usize, bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() / 4);
    for y in 0..height / 2 {
        for x in 0..width / 2 {
            for c in 0..bytes {
                let at =
                    |dx: usize, dy: usize| u32::from(data[((2 * y + dy) * width + 2 * x + dx) * bytes + c]);
                out.push(((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1) + 2) / 4) as u8);
            }
        }
    }
    out
}

/// Smooth noise that tiles: value noise over a lattice of `cells`, summed over octaves.
fn tiling_noise(rng: &mut Rng, side: usize, cells: usize, octaves: u32) -> Vec<f32> {
    let mut sum = vec![0.0; side * side];
    let (mut n, mut weight, mut total) = (cells, 1.0, 0.0);
    for _ in 0..octaves {
        let lattice: Vec<f32> = (0..n * n).map(|_| rng.unit()).collect();
        for (i, s) in sum.iter_mut().enumerate() {
            let fx = (i % side) as f32 / side as f32 * n as f32;
            let fy = (i / side) as f32 / side as f32 * n as f32;
            let (x, y) = (fx as usize, fy as usize);
            let ease = |t: f32| t * t * (3.0 - 2.0 * t);
            let (tx, ty) = (ease(fx.fract()), ease(fy.fract()));
            let v = |dx: usize, dy: usize| lattice[(y + dy) % n * n + (x + dx) % n];
            let top = v(0, 0) + (v(1, 0) - v(0, 0)) * tx;
            let bottom = v(0, 1) + (v(1, 1) - v(0, 1)) * tx;
            *s += weight * (top + (bottom - top) * ty);
        }
        total += weight;
        (n, weight) = ((2 * n).min(side), weight * 0.6);
    }
    sum.iter().map(|s| s / total).collect()
}

/// Red and green: slope of the skin's grain. Blue: fine noise for hair and stubble. Alpha: sparse round spots.
pub fn upload_detail(device: &wgpu::Device, queue: &wgpu::Queue, rng: &mut Rng) -> wgpu::TextureView {
    const SIDE: usize = 256;
    let bumps = tiling_noise(rng, SIDE, 48, 2);
    let fine = tiling_noise(rng, SIDE, 64, 2);
    let mut spots = vec![0.0f32; SIDE * SIDE];
    for _ in 0..130 {
        let (cx, cy, r) = (rng.unit() * SIDE as f32, rng.unit() * SIDE as f32, rng.log_range(1.2, 4.5));
        let reach = (2.0 * r).ceil() as i32;
        for dy in -reach..=reach {
            for dx in -reach..=reach {
                let (x, y) =
                    ((cx as i32 + dx).rem_euclid(SIDE as i32), (cy as i32 + dy).rem_euclid(SIDE as i32));
                let d = ((dx * dx + dy * dy) as f32).sqrt();
                let at = y as usize * SIDE + x as usize;
                spots[at] = spots[at].max((1.3 - 0.5 * d / r).clamp(0.0, 1.0));
            }
        }
    }
    let mut data = Vec::with_capacity(SIDE * SIDE * 4);
    for i in 0..SIDE * SIDE {
        let (x, y) = (i % SIDE, i / SIDE);
        let slope_x = bumps[y * SIDE + (x + 1) % SIDE] - bumps[y * SIDE + (x + SIDE - 1) % SIDE];
        let slope_y = bumps[(y + 1) % SIDE * SIDE + x] - bumps[(y + SIDE - 1) % SIDE * SIDE + x];
        let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
        let spread = ((fine[i] - 0.5) * 1.8 + 0.5).clamp(0.0, 1.0);
        data.extend([byte(0.5 + 1.2 * slope_x), byte(0.5 + 1.2 * slope_y), byte(spread), byte(spots[i])]);
    }
    let size = wgpu::Extent3d { width: SIDE as u32, height: SIDE as u32, depth_or_array_layers: 1 };
    let texture = create(device, size, 7, wgpu::TextureFormat::Rgba8Unorm);
    write_levels(queue, &texture, 0, SIDE as u32, SIDE as u32, 7, data);
    texture.create_view(&wgpu::TextureViewDescriptor::default())
}

/// Hair for drawing: position vertex of each drawn vertex, its static half, and triangles.
pub fn split_seams(hair: &HairAsset) -> (Vec<u32>, Vec<StaticVertex>, Vec<u32>) {
    let mut seen = HashMap::new();
    let (mut source, mut statics, mut indices) = (Vec::new(), Vec::new(), Vec::new());
    for (tri, tri_uv) in hair.tri.iter().zip(&hair.tri_uv) {
        for (v, u) in tri.iter().zip(tri_uv) {
            let index = *seen.entry((*v, *u)).or_insert_with(|| {
                let uv = hair.uv[*u as usize];
                source.push(*v);
                statics.push(StaticVertex { uv: [uv.x, 1.0 - uv.y], masks: [0; 4], shade: [0, 0, 255, 255] });
                source.len() as u32 - 1
            });
            indices.push(index);
        }
    }
    (source, statics, indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srgb_survives_the_round_trip() {
        for v in 0..=255u8 {
            assert_eq!((linear_to_srgb(srgb_to_linear(v)) * 255.0).round() as u8, v);
        }
    }

    #[test]
    fn halving_averages_four() {
        assert_eq!(halved(&[0, 4, 8, 4, 100, 100, 0, 0], 4, 2, 1), vec![51, 3]);
    }

    #[test]
    fn noise_stays_in_range_and_is_not_flat() {
        let n = tiling_noise(&mut Rng::new(1, 0), 32, 8, 2);
        assert!(n.iter().all(|v| (0.0..=1.0).contains(v)));
        assert!(n.iter().fold(0.0f32, |m, v| m.max(*v)) - n.iter().fold(1.0f32, |m, v| m.min(*v)) > 0.3);
    }
}
