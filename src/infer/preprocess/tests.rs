use super::*;
use proptest::prelude::*;

const FORMATS: [PixelFormat; 9] = [
    PixelFormat::Rgb8,
    PixelFormat::Gray8,
    PixelFormat::Yuyv,
    PixelFormat::Nv12,
    PixelFormat::I420,
    PixelFormat::Planar { x_shift: 1, y_shift: 0 },
    PixelFormat::Planar { x_shift: 0, y_shift: 0 },
    PixelFormat::Planar { x_shift: 2, y_shift: 0 },
    PixelFormat::Planar { x_shift: 2, y_shift: 2 },
];

/// Noise: every byte its own, so that a wrong byte anywhere shows.
fn noise(format: PixelFormat, color: ColorSpace, width: u32, height: u32, seed: u32) -> Frame {
    let width = if format == PixelFormat::Yuyv { width.next_multiple_of(2) } else { width };
    let hash = |i: usize| ((i as u32 ^ seed).wrapping_mul(0x9E37_79B1) >> 24) as u8;
    let data = (0..format.frame_len(width, height)).map(hash).collect();
    Frame { width, height, format, color, data, ..Frame::default() }
}

/// One channel's byte at a pixel, straight from the layout's documentation.
fn byte(frame: &Frame, channel: usize, x: usize, y: usize) -> f64 {
    let (w, h) = (frame.width as usize, frame.height as usize);
    let index = match (frame.format, channel) {
        (PixelFormat::Rgb8, c) => (y * w + x) * 3 + c,
        (PixelFormat::Gray8, 1 | 2) => return 128.0,
        (PixelFormat::Yuyv, 0) => y * w * 2 + x * 2,
        (PixelFormat::Yuyv, c) => y * w * 2 + x / 2 * 4 + 2 * c - 1,
        (_, 0) => y * w + x,
        (PixelFormat::Nv12, c) => w * h + y / 2 * w.div_ceil(2) * 2 + x / 2 * 2 + c - 1,
        (PixelFormat::Planar { x_shift, y_shift }, c) => {
            let (cw, ch) = (w.div_ceil(1 << x_shift), h.div_ceil(1 << y_shift));
            w * h + (c - 1) * cw * ch + (y >> y_shift) * cw + (x >> x_shift)
        }
        (PixelFormat::Gray8, _) => unreachable!("channel 0 is handled above"),
    };
    f64::from(frame.data[index])
}

/// A pixel of the image averaged over blocks, by the definition in the module's head.
fn block(frame: &Frame, target: &Target, level: u32, channel: usize, x: i64, y: i64) -> f64 {
    let (w, h) = (i64::from(frame.width), i64::from(frame.height));
    let side = 1i64 << level;
    let (bw, bh) = ((w + side - 1) / side, (h + side - 1) / side);
    if target.border == Border::Black && (x < 0 || y < 0 || x >= bw || y >= bh) {
        let foot = if frame.color.full_range { 0.0 } else { 16.0 };
        let yuv = if channel == 0 { foot } else { 128.0 };
        return if frame.format == PixelFormat::Rgb8 { 0.0 } else { yuv };
    }
    let (x, y) = (x.clamp(0, bw - 1), y.clamp(0, bh - 1));
    // Of large blocks an even grid of eight by eight is taken.
    let taps = side.min(8);
    let mut sum = 0.0;
    for dy in (0..taps).map(|t| t * (side / taps)) {
        for dx in (0..taps).map(|t| t * (side / taps)) {
            let (px, py) = ((x * side + dx).min(w - 1), (y * side + dy).min(h - 1));
            sum += byte(frame, channel, px as usize, py as usize);
        }
    }
    sum / (taps * taps) as f64
}

fn to_rgb(frame: &Frame, c: [f64; 3]) -> [f64; 3] {
    if frame.format == PixelFormat::Rgb8 {
        return c.map(|v| v / 255.0);
    }
    let (kr, kb) = if frame.color.bt709 { (0.2126, 0.0722) } else { (0.299, 0.114) };
    let (y, u, v) = if frame.color.full_range {
        (c[0] / 255.0, (c[1] - 128.0) / 255.0, (c[2] - 128.0) / 255.0)
    } else {
        ((c[0] - 16.0) / 219.0, (c[1] - 128.0) / 224.0, (c[2] - 128.0) / 224.0)
    };
    let (r, b) = (y + 2.0 * (1.0 - kr) * v, y + 2.0 * (1.0 - kb) * u);
    [r, (y - kr * r - kb * b) / (1.0 - kr - kb), b]
}

fn reference(frame: &Frame, roi: &Roi, target: &Target) -> Vec<f64> {
    let size = target.size;
    let level = level(roi.side / size as f32);
    let mut out = vec![0.0; 3 * size * size];
    let (sin, cos) = f64::from(roi.rotation_rad).sin_cos();
    for (i, (y, x)) in (0..size).flat_map(|y| (0..size).map(move |x| (y, x))).enumerate() {
        let unit = |v: usize| ((v as f64 + 0.5) / size as f64 - 0.5) * f64::from(roi.side);
        let (dx, dy) = (unit(x), unit(y));
        let side = f64::from(1u32 << level);
        let u = (f64::from(roi.center.x) + cos * dx - sin * dy) / side - 0.5;
        let v = (f64::from(roi.center.y) + sin * dx + cos * dy) / side - 0.5;
        let (x0, y0) = (u.floor(), v.floor());
        let (fx, fy) = (u - x0, v - y0);
        let channels = [0, 1, 2].map(|c| {
            let at = |ox: i64, oy: i64| block(frame, target, level, c, x0 as i64 + ox, y0 as i64 + oy);
            (at(0, 0) * (1.0 - fx) + at(1, 0) * fx) * (1.0 - fy)
                + (at(0, 1) * (1.0 - fx) + at(1, 1) * fx) * fy
        });
        let (low, high) = (f64::from(target.range.0), f64::from(target.range.1));
        for (c, value) in to_rgb(frame, channels).into_iter().enumerate() {
            out[c * size * size + i] = low + (high - low) * value.clamp(0.0, 1.0);
        }
    }
    out
}

fn roi_strategy() -> impl Strategy<Value = Roi> {
    (-20f32..60.0, -20f32..60.0, 2f32..120.0, -3.2f32..3.2).prop_map(|(x, y, side, rotation_rad)| Roi {
        center: Vec2::new(x, y),
        side,
        rotation_rad,
    })
}

proptest! {
    #[test]
    fn every_format_samples_like_the_slow_reference(
        format in prop::sample::select(&FORMATS[..]), bt709: bool, full_range: bool, black: bool,
        width in 1u32..48, height in 1u32..48, seed: u32, roi in roi_strategy(), size in 3usize..24,
    ) {
        let frame = noise(format, ColorSpace { bt709, full_range }, width, height, seed);
        let border = if black { Border::Black } else { Border::Replicate };
        let target = Target { size, range: (-1.0, 1.0), border };
        let mut out = vec![0.0; 3 * size * size];
        Sampler::new(target).sample(&frame, &roi, &mut out);
        // Averages are rounded to bytes; the blue of limited-range YUV weighs half a step of chroma by two.
        let tolerance = if level(roi.side / size as f32) == 0 { 2e-3 } else { 0.5 * (1.17 + 2.2) * 2.0 / 255.0 };
        for (i, (have, want)) in out.iter().zip(reference(&frame, &roi, &target)).enumerate() {
            prop_assert!((f64::from(*have) - want).abs() < tolerance, "value {i}: {have}, reference {want}");
        }
    }

    #[test]
    fn vector_code_and_scalar_twin_agree(
        seed: u32, roi in roi_strategy(), size in 8usize..70, width in 2u32..80, height in 2u32..80,
    ) {
        let frame = noise(PixelFormat::I420, ColorSpace::VIDEO, width, height, seed);
        let target = Target { size, range: (0.0, 1.0), border: Border::Replicate };
        let mut reducer = Reducer::new(400);
        let low = Vec2::new(-2.0, -1.0);
        let (view, _) = reducer.reduce(&frame, 0, low, low + 90.0, Border::Black);
        let from_crop = roi.image_from_unit() * Affine2::from_scale(Vec2::splat(1.0 / size as f32));
        let color = color_matrix(frame.format, frame.color, target.range);
        let warp = Warp { from_crop, size, color, range: target.range };
        let (mut fast, mut slow) = (vec![0.0; 3 * size * size], vec![0.0; 3 * size * size]);
        warp.run(view, &mut fast);
        warp.run_scalar(view, &mut slow);
        for (a, b) in fast.iter().zip(&slow) {
            prop_assert!((a - b).abs() < 1e-3, "{a} against {b}");
        }
    }
}

#[test]
fn one_pixel_fills_the_input_and_8k_fits_into_it() {
    let target = Target { size: 128, range: (0.0, 1.0), border: Border::Replicate };
    let mut sampler = Sampler::new(target);
    let mut out = vec![0.0; 3 * 128 * 128];
    let pixel = Frame { width: 1, height: 1, data: vec![255, 0, 51], ..Frame::default() };
    sampler.sample(&pixel, &Roi { center: Vec2::splat(0.5), side: 1.0, rotation_rad: 0.0 }, &mut out);
    assert!(out[..128 * 128].iter().all(|&v| (v - 1.0).abs() < 1e-6));
    assert!(out[2 * 128 * 128..].iter().all(|&v| (v - 0.2).abs() < 1e-6));

    let (width, height) = (7680, 4320);
    let data = vec![102; PixelFormat::I420.frame_len(width, height)];
    let huge = Frame { width, height, format: PixelFormat::I420, data, ..Frame::default() };
    let all = Roi { center: Vec2::new(3840.0, 2160.0), side: 7680.0, rotation_rad: 0.7 };
    sampler.sample(&huge, &all, &mut out);
    let green = 0.4 + (0.344_136 + 0.714_136) * 26.0 / 255.0;
    assert!(out[128 * 128..2 * 128 * 128].iter().all(|&v| (v - green).abs() < 2e-3));
}

#[test]
fn a_region_far_outside_is_all_border() {
    let frame = noise(PixelFormat::Rgb8, ColorSpace::JPEG, 16, 16, 1);
    let target = Target { size: 16, range: (-1.0, 1.0), border: Border::Black };
    let mut out = vec![9.0; 3 * 16 * 16];
    for center in [Vec2::new(500.0, 8.0), Vec2::new(-500.0, 8.0), Vec2::new(8.0, 500.0), Vec2::splat(-500.0)]
    {
        Sampler::new(target).sample(&frame, &Roi { center, side: 20.0, rotation_rad: 0.3 }, &mut out);
        assert!(out.iter().all(|&v| (v + 1.0).abs() < 1e-6));
    }
}

#[test]
fn fine_stripes_average_out_instead_of_aliasing() {
    let (width, height) = (1280u32, 720u32);
    let stripes = |i: usize| if (i % width as usize).is_multiple_of(2) { 0 } else { 255 };
    let data = (0..(width * height) as usize).map(stripes).collect();
    let frame = Frame { width, height, format: PixelFormat::Gray8, data, ..Frame::default() };
    let target = Target { size: 128, range: (0.0, 1.0), border: Border::Replicate };
    let mut out = vec![0.0; 3 * 128 * 128];
    let roi = Roi { center: Vec2::new(640.0, 360.0), side: 700.0, rotation_rad: 0.1 };
    Sampler::new(target).sample(&frame, &roi, &mut out);
    assert!(out.iter().all(|&v| (v - 0.5).abs() < 0.01), "grey from afar");
}
