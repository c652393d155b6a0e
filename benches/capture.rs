//! What a frame costs on its way in: `cargo bench --bench capture`.
//!
//! First the decoders on the same pictures, then a whole camera (the tests' preloaded one, at 30 frames a second): from
//! the driver's timestamp to the frame in hand, which includes the driver's wake-up, the dequeue, and the copy or the
//! decoding.
#![expect(clippy::unwrap_used, reason = "a bench may panic")]

#[path = "common/mod.rs"]
mod common;
#[cfg(target_os = "linux")]
#[path = "../tests/vcam/frames.rs"]
mod frames;
#[cfg(target_os = "linux")]
#[path = "../tests/vcam/mod.rs"]
mod vcam;

use common::{Stage, print_machine};
use facetrackd::capture::JpegDecoder;
use facetrackd::frame::Frame;
use std::hint::black_box;
use turbojpeg::{Decompressor, Image, PixelFormat, Subsamp};
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Runs of each decoder.
const RUNS: usize = 200;

fn main() {
    if std::env::var_os("VCAM_ROOT").is_none() {
        print_machine();
        for (width, height) in [(640, 480), (1280, 720), (1920, 1080)] {
            decoders(width, height);
        }
    }
    #[cfg(target_os = "linux")]
    camera();
}

/// A picture as busy as a room: broad shading, some texture, sensor noise. Its JPEG is about as large as a webcam's.
fn room(width: usize, height: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state % 9) as f32 - 4.0
    };
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
            let texture = 18.0 * (u * 140.0).sin() * (v * 90.0 + u * 30.0).sin();
            let shade = 60.0 + 90.0 * u + 50.0 * v + texture + noise();
            pixels.extend([shade, shade * 0.9, shade * 0.7 + 20.0].map(|c| c.clamp(0.0, 255.0) as u8));
        }
    }
    pixels
}

fn jpeg(width: usize, height: usize, seed: u32) -> Vec<u8> {
    let pixels = room(width, height, seed);
    let image = Image { pixels: &pixels[..], width, pitch: width * 3, height, format: PixelFormat::RGB };
    turbojpeg::compress(image, 85, Subsamp::Sub2x1).unwrap().to_vec()
}

fn decoders(width: usize, height: usize) {
    let jpeg = jpeg(width, height, 1);
    println!("\n{width}x{height} Motion-JPEG, 4:2:2, {} KB", jpeg.len() / 1000);
    let (mut ours, mut frame) = (JpegDecoder::new().unwrap(), Frame::default());
    let mut planar = Stage::new("libjpeg-turbo, planes (ours)");
    let mut half = Stage::new("libjpeg-turbo, planes, half size");
    let mut rgb = Stage::new("libjpeg-turbo, RGB");
    let mut zune_rgb = Stage::new("zune-jpeg, RGB");
    let mut zune_luma = Stage::new("zune-jpeg, luma alone");
    let mut copy = Stage::new("one copy of as many YUYV bytes");
    let (mut turbo, mut pixels) = (Decompressor::new().unwrap(), vec![0; width * height * 3]);
    let yuyv = vec![1u8; width * height * 2];
    for run in 0..=RUNS {
        planar.measure(|| ours.decode(&jpeg, None, &mut frame).unwrap());
        half.measure(|| ours.decode(&jpeg, Some(width as u32 / 2), &mut frame).unwrap());
        rgb.measure(|| {
            let pixels = &mut pixels[..];
            turbo.decompress(
                &jpeg,
                Image { pixels, width, pitch: width * 3, height, format: PixelFormat::RGB },
            )
        })
        .unwrap();
        zune_rgb.measure(|| black_box(zune(&jpeg, ColorSpace::RGB)));
        zune_luma.measure(|| black_box(zune(&jpeg, ColorSpace::Luma)));
        copy.measure(|| {
            frame.data.clear();
            frame.data.extend_from_slice(black_box(&yuyv));
        });
        if run == 0 {
            // The first run warms buffers and caches.
            for stage in [&mut planar, &mut half, &mut rgb, &mut zune_rgb, &mut zune_luma, &mut copy] {
                stage.clear();
            }
        }
    }
    for stage in [&mut planar, &mut half, &mut rgb, &mut zune_rgb, &mut zune_luma, &mut copy] {
        stage.print();
    }
}

fn zune(jpeg: &[u8], out: ColorSpace) -> Vec<u8> {
    let options = DecoderOptions::new_fast().jpeg_set_out_colorspace(out);
    zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(jpeg), options).decode().unwrap()
}

#[cfg(target_os = "linux")]
fn camera() {
    use facetrackd::capture::{CaptureConfig, Next};
    use facetrackd::clock::MonoTime;

    const FRAMES: usize = 150;
    let said = vcam::inside(&[], |vcam| {
        for (format, width, height, copies) in [
            ("YUYV", 640, 480, "one copy"),
            ("YUYV", 1280, 720, "one copy"),
            ("MJPG", 640, 480, "no copy, decoded in place"),
            ("MJPG", 1280, 720, "no copy, decoded in place"),
        ] {
            let clip: Vec<u8> = (1..=8)
                .flat_map(|seed| match format {
                    "YUYV" => room(width, height, seed).into_iter().take(width * height * 2).collect(),
                    _ => jpeg(width, height, seed),
                })
                .collect();
            let file = vcam.file("clip", &clip);
            vcam.plug(0, &format!("format {format} {width}x{height} 30 {}", file.display()));
            let mut source = frames::open("0", &CaptureConfig::default()).unwrap();
            let mut frame = Frame::default();
            let mut stage = Stage::new(format!("{format} {width}x{height}, {copies}"));
            frames::next_frames(&mut source, 5);
            let mut given = 0;
            while given < FRAMES {
                let next = stage.measure_from(|| {
                    let next = source.next(&mut frame).unwrap();
                    (next == Next::Frame).then(|| MonoTime::now().since(frame.captured_at))
                });
                given += usize::from(next);
            }
            stage.print();
            vcam.unplug(0);
        }
    });
    if let Some(said) = said {
        println!("\na camera, from the driver's timestamp to the frame in hand\n{}", said.trim_end());
    }
}
