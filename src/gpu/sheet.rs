//! Sheets of faces with their labels drawn, for a person to look at.

use super::RenderError;
use super::command::{RenderFacesArgs, Renderer, picture_size, progress};
use super::run::{Rendered, Worker};
use super::sampler::{Sampler, SamplerOptions};
use super::shard;
use glam::Vec2;
use std::io::Cursor;
use std::path::Path;

/// Writes a sheet of `count` faces.
///
/// # Errors
/// Where rendering or writing fails.
pub fn write(
    renderer: &Renderer,
    args: &RenderFacesArgs,
    options: SamplerOptions,
    path: &Path,
) -> Result<(), RenderError> {
    let (width, height) = picture_size(args);
    let count = args.count.clamp(1, 400);
    let columns = (count as f32).sqrt().ceil() as u32;
    let rows = (count as u32).div_ceil(columns);
    let mut sheet = image::RgbImage::new(columns * width, rows * height);
    let mut worker = Worker::new(&renderer.studio, &renderer.gpu, (width, height), renderer.slots())?;
    let sampler = Sampler::new(&renderer.studio.pack, &renderer.studio.environments, options);
    let bar = progress(count, 0);
    for start in (0..count).step_by(worker.slots()) {
        let end = (start + worker.slots() as u64).min(count);
        let specs: Vec<_> = (start..end).map(|i| (i, sampler.sample(args.seed, i))).collect();
        for face in worker.render(&specs, |_, _, _| ())? {
            let (x, y) =
                (face.label.index as u32 % columns * width, face.label.index as u32 / columns * height);
            paste(&mut sheet, &face, x, y);
            bar.inc(1);
        }
    }
    bar.finish();
    let mut png = Cursor::new(Vec::new());
    sheet.write_to(&mut png, image::ImageFormat::Png)?;
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(shard::write_whole(dir, &name, png.get_ref())?)
}

fn paste(sheet: &mut image::RgbImage, face: &Rendered, x: u32, y: u32) {
    let photo = &face.photo;
    for (i, p) in photo.rgb.chunks_exact(3).enumerate() {
        let at = ((i % photo.width) as u32, (i / photo.width) as u32);
        sheet.put_pixel(x + at.0, y + at.1, image::Rgb([p[0], p[1], p[2]]));
    }
    let (w, h) = (photo.width as f32, photo.height as f32);
    let mut dot = |p: Vec2, color: [u8; 3]| {
        if p.x >= 0.0 && p.y >= 0.0 && p.x < w && p.y < h {
            sheet.put_pixel(x + p.x as u32, y + p.y as u32, image::Rgb(color));
        }
    };
    for (i, p) in face.label.landmarks.iter().enumerate() {
        // Seen points green, hidden ones red, irises yellow.
        let seen = face.label.visible[i] > 0.5;
        let color = if i >= 468 {
            [255, 230, 0]
        } else if seen {
            [0, 255, 90]
        } else {
            [255, 40, 40]
        };
        dot(p.truncate(), color);
    }
    for p in &face.label.ibug68 {
        dot(*p, [80, 160, 255]);
    }
    let to_pixel = |p: glam::Vec3| face.label.camera.project(p);
    for (side, iris) in [(0, 473), (1, 468)] {
        // Eyes' gaze, 40 mm long.
        let start = face.label.landmarks[iris].truncate();
        let eye = face.label.rotation * face.label.head_mm[iris] + face.label.translation_mm;
        let end = to_pixel(eye + face.label.gaze[side] * 40.0);
        for k in 0..40 {
            dot(start.lerp(end, k as f32 / 40.0), [255, 0, 255]);
        }
    }
}
