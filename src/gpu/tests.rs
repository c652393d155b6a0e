//! The renderer against its asset pack and a Vulkan device. Both may be missing; the tests say so and pass then.

use super::brows::BrowPlace;
use super::command::Renderer;
use super::device::{DeviceError, Gpu};
use super::labels::REGIONS;
use super::pack::{Pack, PackError};
use super::places::LandmarkPlaces;
use super::run::{Rendered, Worker};
use super::sampler::{Sampler, SamplerOptions};
use super::scene::{Stage, Studio};
use super::seal::{EYELIDS, Seals};
use super::shape::{ExpressionMap, Shape};
use super::spec::{Cut, FaceSpec, Faults};
use super::target::DrawList;
use super::tongue::Tongue;
use crate::face::{Blendshape, Blendshapes, HeadPose};
use glam::{Vec2, Vec3};
use std::path::PathBuf;
use std::sync::OnceLock;

fn assets() -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/assets");
    if dir.join("ict_light.npz").is_file() {
        return Some(dir);
    }
    eprintln!("SKIPPED: the head asset pack is not at {}", dir.display());
    None
}

fn studio() -> Option<Studio> {
    let dir = assets()?;
    Some(Studio::new(Pack::load(&dir).unwrap(), LandmarkPlaces::load().unwrap()))
}

fn renderer() -> Option<&'static Renderer> {
    static ONE: OnceLock<Option<Renderer>> = OnceLock::new();
    let open = || match Renderer::open(&assets()?, None) {
        Ok(renderer) => Some(renderer),
        Err(super::RenderError::Device(DeviceError::NoDevice)) => {
            eprintln!("SKIPPED: no Vulkan device (Debian: mesa-vulkan-drivers)");
            None
        }
        Err(e) => panic!("{e}"),
    };
    ONE.get_or_init(open).as_ref()
}

fn sample(studio: &Studio, index: u64) -> FaceSpec {
    Sampler::new(&studio.pack, &studio.environments, SamplerOptions::default()).sample(11, index)
}

/// A face that looks into the camera, with nothing in front of it.
fn plain(studio: &Studio, expression: Blendshapes) -> FaceSpec {
    let mut spec = sample(studio, 0);
    spec.expression = expression;
    spec.pose = HeadPose::default();
    spec.things.clear();
    spec.look.hair = None;
    spec.faults = Faults::default();
    spec.view.distortion = [0.04, 0.0];
    spec.view.rolling_px = Vec2::new(3.0, 0.0);
    spec.view.cut = Cut::Crop { scale: 1.4, shift: Vec2::ZERO, turn_rad: 0.2 };
    spec
}

fn render(worker: &mut Worker<'_>, specs: &[FaceSpec]) -> Vec<Rendered> {
    let numbered: Vec<_> = specs.iter().cloned().enumerate().map(|(i, s)| (i as u64, s)).collect();
    worker.render(&numbered, |_, _, _| ()).unwrap()
}

#[test]
fn profiles_lie_between_the_turns_that_were_asked_for_on_both_sides() {
    let Some(studio) = studio() else { return };
    let (least, limit) = (1.0f32, 1.6f32);
    let options = SamplerOptions { yaw_min_rad: least, yaw_max_rad: limit, ..SamplerOptions::default() };
    let sampler = Sampler::new(&studio.pack, &studio.environments, options);
    // The ray from the camera to the head turns a head that is beside the middle a little further.
    let beside = |spec: &FaceSpec| {
        let t = spec.pose.translation_mm;
        t.truncate().length().atan2(t.z)
    };
    let mut sides = [0, 0];
    for index in 0..64 {
        let spec = sampler.sample(5, index);
        let forward = spec.pose.rotation * Vec3::Z;
        let turn = forward.angle_between(Vec3::NEG_Z);
        assert!(turn > least - beside(&spec) - 1e-3, "face {index} is turned by {turn} only");
        sides[usize::from(forward.x > 0.0)] += 1;
    }
    assert!(sides.iter().all(|&n| n > 16), "{sides:?} to the sides");
}

#[test]
fn those_at_rest_are_the_people_of_the_same_seed_and_face_the_camera() {
    let Some(studio) = studio() else { return };
    let options = |at_rest| SamplerOptions { at_rest, ..SamplerOptions::default() };
    let sampler = |options| Sampler::new(&studio.pack, &studio.environments, options);
    let (acting, resting) = (sampler(options(false)), sampler(options(true)));
    let away =
        |spec: &FaceSpec| (spec.pose.rotation * Vec3::Z).angle_between(-spec.pose.translation_mm.normalize());
    let mut acted = 0;
    for index in 0..32 {
        let (a, r) = (acting.sample(7, index), resting.sample(7, index));
        assert_eq!(a.identity.map(f32::to_bits), r.identity.map(f32::to_bits));
        assert!(a.look == r.look && a.things == r.things && a.view == r.view);
        assert_eq!(a.pose.translation_mm, r.pose.translation_mm);
        assert_eq!(r.expression, Blendshapes::default());
        assert!(away(&r) <= away(&a) + 1e-3 && away(&r) < 0.4, "face {index} is {} away", away(&r));
        acted += usize::from(a.expression != Blendshapes::default());
    }
    assert!(acted > 28, "{acted} of 32 have an expression");
}

#[test]
fn the_same_seed_gives_the_same_picture_wherever_it_stands_in_a_batch() {
    let Some(r) = renderer() else { return };
    let specs: Vec<_> = (0..3).map(|i| sample(&r.studio, i)).collect();
    let mut worker = Worker::new(&r.studio, &r.gpu, (128, 128), 3).unwrap();
    let first = render(&mut worker, &specs);
    let turned: Vec<_> = [2, 0].iter().map(|i| sample(&r.studio, *i)).collect();
    let second = render(&mut worker, &turned);
    assert!(first[2].photo.rgb == second[0].photo.rgb && first[0].photo.rgb == second[1].photo.rgb);
    assert!(first[0].photo.rgb != first[1].photo.rgb);
    assert_eq!(first[2].label.landmarks, second[0].label.landmarks);
    assert_eq!(first[2].label.visible, second[0].label.visible);
}

#[test]
fn a_labelled_point_lies_on_the_pixel_that_shows_it() {
    let Some(r) = renderer() else { return };
    let mut worker = Worker::new(&r.studio, &r.gpu, (256, 256), 6).unwrap();
    // Tip of the nose, corners of the mouth, outer corners of the eyes, chin.
    let points = [1, 61, 291, 33, 263, 152];
    let specs: Vec<_> = points.iter().map(|_| (0, plain(&r.studio, Blendshapes::default()))).collect();
    let painted = worker
        .render(&specs, |slot, label, list: &mut DrawList| {
            if let Some(u) = &mut list.uniform {
                u.marker = [label.head_mm[points[slot]].extend(2.2).to_array()];
            }
        })
        .unwrap();
    for (face, point) in painted.iter().zip(points) {
        let magenta = |p: &[u8]| p[0] > 170 && p[2] > 170 && p[1] < 110;
        let found: Vec<Vec2> = (0..256 * 256)
            .filter(|i| magenta(&face.photo.rgb[3 * i..3 * i + 3]))
            .map(|i| Vec2::new((i % 256) as f32 + 0.5, (i / 256) as f32 + 0.5))
            .collect();
        assert!(found.len() > 4, "point {point} was painted on {} pixels", found.len());
        let middle = found.iter().sum::<Vec2>() / found.len() as f32;
        let label = face.label.landmarks[point].truncate();
        assert!(middle.distance(label) < 1.6, "point {point}: painted at {middle}, labelled at {label}");
        assert!(face.label.visible[point] > 0.5, "point {point} is seen");
    }
}

#[test]
fn points_behind_the_head_are_not_seen() {
    let Some(r) = renderer() else { return };
    let mut spec = plain(&r.studio, Blendshapes::default());
    let turned = crate::geom::Angles { yaw_rad: 1.2, ..crate::geom::Angles::default() };
    spec.pose.rotation = turned.to_rotation();
    let mut worker = Worker::new(&r.studio, &r.gpu, (256, 256), 1).unwrap();
    let faces = render(&mut worker, &[spec]);
    // Turned to the subject's left, the left cheek is far from the camera.
    let regions = faces[0].label.regions();
    let of = |name: &str| regions[REGIONS.iter().position(|r| r.0 == name).unwrap()];
    assert!(of("right_cheek") > 0.8 && of("left_cheek") < 0.3, "{regions:?}");
}

#[test]
fn labels_of_many_faces_are_in_range() {
    let Some(studio) = studio() else { return };
    let (mut stage, mut list) = (Stage::default(), DrawList::default());
    for index in 0..150 {
        let label = studio.prepare(&mut stage, &sample(&studio, index), (256, 256), &mut list);
        assert_eq!(label.fault(), None, "face {index}");
        let inside = |p: &&Vec3| (-40.0..296.0).contains(&p.x) && (-40.0..296.0).contains(&p.y);
        assert!(label.landmarks.iter().filter(inside).count() > 430, "face {index} is not in its crop");
    }
}

/// Movement of the head's vertices that a coefficient causes, summed over those that `keep` accepts.
fn movement(studio: &Studio, b: Blendshape, keep: impl Fn(Vec3) -> bool) -> f32 {
    let (head, map) = (&studio.pack.head, ExpressionMap::new(&studio.pack.head));
    let mut shape = Shape::default();
    let seals = Seals::new(head, &studio.places);
    shape.set_identity(head, &studio.places, &seals, &[0.0; 100]);
    let mut e = Blendshapes::default();
    e[b] = 1.0;
    shape.set_expression(head, &map, &studio.places, &seals, &e);
    let moved = |i: &usize| {
        Vec3::from_slice(&shape.posed[3 * i..3 * i + 3])
            .distance(Vec3::from_slice(&shape.base[3 * i..3 * i + 3]))
    };
    (0..head.neutral.len()).filter(|i| keep(head.neutral[*i])).map(|i| moved(&i)).sum()
}

#[test]
fn each_coefficient_moves_its_own_region_and_side() {
    let Some(studio) = studio() else { return };
    for b in Blendshape::ALL {
        let name = b.name();
        let all = movement(&studio, b, |_| true);
        assert!(all > 1.0, "{name} moves nothing");
        let own_side = |p: Vec3| if name.ends_with("Left") { p.x > -0.3 } else { p.x < 0.3 };
        // jawLeft, mouthLeft and their like name a direction, not a side.
        if b.mirrored() != b && !matches!(name, "jawLeft" | "jawRight" | "mouthLeft" | "mouthRight") {
            let own = movement(&studio, b, own_side);
            assert!(own > 0.8 * all, "{name} moves the other side: {own} of {all}");
        }
        // Eyes and brows lie above the nose's tip, jaw and lips below the eyes; centimetres on the neutral head.
        let region: fn(Vec3) -> bool = match name {
            n if n.starts_with("eye") || n.starts_with("brow") => |p| p.y > 0.4,
            n if n.starts_with("jaw") || n.starts_with("mouth") || n == "tongueOut" => |p| p.y < 2.5,
            _ => |_| true,
        };
        let own = movement(&studio, b, region);
        assert!(own > 0.85 * all, "{name} moves another region: {own} of {all}");
    }
}

#[test]
fn closing_the_eyes_shows_in_the_openness_label() {
    let Some(studio) = studio() else { return };
    let (mut stage, mut list) = (Stage::default(), DrawList::default());
    let mut e = Blendshapes::default();
    let mut openness = |e: Blendshapes| {
        studio.prepare(&mut stage, &plain(&studio, e), (256, 256), &mut list).eye_openness_mm
    };
    let open = openness(e);
    e[Blendshape::EyeBlinkLeft] = 1.0;
    let winking = openness(e);
    assert!(winking[0] < 0.3 * open[0], "{winking:?} of {open:?}");
    assert!((winking[1] - open[1]).abs() < 0.3, "{winking:?} of {open:?}");
}

/// Largest distance, in millimetres, from a landmark of one contour to the line through those of the other.
fn apart(head_mm: &[Vec3], contour: &[usize], other: &[usize]) -> f32 {
    let to_line = |p: Vec3| {
        let to_segment = |w: &[usize]| {
            let (a, way) = (head_mm[w[0]], head_mm[w[1]] - head_mm[w[0]]);
            let t = ((p - a).dot(way) / way.length_squared().max(1e-9)).clamp(0.0, 1.0);
            (a + way * t).distance(p)
        };
        other.windows(2).map(to_segment).fold(f32::INFINITY, f32::min)
    };
    contour.iter().map(|i| to_line(head_mm[*i])).fold(0.0, f32::max)
}

#[test]
fn contours_of_shut_eyes_and_of_a_mouth_at_rest_meet_on_every_person() {
    let Some(studio) = studio() else { return };
    let (mut stage, mut list) = (Stage::default(), DrawList::default());
    let mut e = Blendshapes::default();
    (e[Blendshape::EyeBlinkLeft], e[Blendshape::EyeBlinkRight]) = (1.0, 1.0);
    for index in 0..40 {
        let mut spec = sample(&studio, index);
        spec.expression = Blendshapes::default();
        let open = studio.prepare(&mut stage, &spec, (256, 256), &mut list);
        spec.expression = e;
        let shut = studio.prepare(&mut stage, &spec, (256, 256), &mut list);
        for [upper, lower] in &EYELIDS {
            let gap = apart(&shut.head_mm, upper, lower);
            assert!(gap < 0.5, "face {index}: the lids' contours of a shut eye lie {gap} mm apart");
            assert!(apart(&open.head_mm, upper, lower) > 4.0, "face {index}: an eye at rest is open");
        }
        assert!(shut.eye_openness_mm.iter().all(|o| *o < 0.4), "face {index}: {:?}", shut.eye_openness_mm);
        let lips = apart(
            &open.head_mm,
            &[191, 80, 81, 82, 13, 312, 311, 310, 415],
            &[78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308],
        );
        assert!(lips < 0.8, "face {index}: the lips' inner contours at rest lie {lips} mm apart");
    }
}

#[test]
#[expect(clippy::float_cmp, reason = "what a tongue does not touch is the same to the bit")]
fn a_tongue_in_an_open_mouth_moves_and_no_label_tells_of_it() {
    let Some(studio) = studio() else { return };
    let (mut stage, mut list) = (Stage::default(), DrawList::default());
    let mut e = Blendshapes::default();
    e[Blendshape::JawOpen] = 0.6;
    let mut spec = plain(&studio, e);
    let mut prepared = |spec: &FaceSpec| {
        let label = studio.prepare(&mut stage, spec, (256, 256), &mut list);
        (label, list.vertices.iter().map(|v| v.position).collect::<Vec<_>>())
    };
    let raised = Tongue { arched: 1.0, lifted: 1.0, forward: 1.0, wide: 1.0, lit: 1.0 };
    let moved = |a: &[[f32; 3]], b: &[[f32; 3]]| a.iter().zip(b).filter(|(a, b)| a != b).count();
    spec.tongue = Tongue::default();
    let (resting, low) = prepared(&spec);
    spec.tongue = raised;
    let (speaking, high) = prepared(&spec);
    assert!((200..1500).contains(&moved(&low, &high)), "{} vertices moved", moved(&low, &high));
    assert_eq!(speaking.landmarks, resting.landmarks);
    assert_eq!(speaking.blendshapes, resting.blendshapes);

    // One that is put out has its own place.
    spec.expression[Blendshape::TongueOut] = 1.0;
    let (_, out) = prepared(&spec);
    spec.tongue = Tongue::default();
    assert_eq!(moved(&prepared(&spec).1, &out), 0);
}

#[test]
fn lashes_line_a_shut_eye_as_dark_as_they_are_said_to_be() {
    let Some(r) = renderer() else { return };
    let mut shut = Blendshapes::default();
    for b in Seals::BLINKS {
        shut[b] = 1.0;
    }
    let mut worker = Worker::new(&r.studio, &r.gpu, (512, 512), 2).unwrap();
    let specs = [0.0, 1.0].map(|opacity| {
        let mut spec = plain(&r.studio, shut);
        // Neither liner nor the lashes themselves: the line of their roots alone.
        spec.look.lashes[..2].fill(0.0);
        spec.look.lash_line = [opacity, 0.5, 0.3, 0.5];
        spec
    });
    // The darkest pixel near each point of the upper margins, corners left out.
    let brightness = |face: &Rendered| {
        let points: Vec<usize> = EYELIDS.iter().flat_map(|lids| &lids[0][2..7]).copied().collect();
        let darkest = |i: &usize| {
            let at = face.label.landmarks[*i].truncate().as_ivec2();
            let near = (-4..=4).flat_map(|y| (-4..=4).map(move |x| at + glam::IVec2::new(x, y)));
            near.map(|p| face.photo.rgb[3 * (p.y * 512 + p.x) as usize + 1]).min().map_or(255.0, f32::from)
        };
        points.iter().map(darkest).sum::<f32>() / points.len() as f32
    };
    let faces = render(&mut worker, &specs);
    let (bare, lined) = (brightness(&faces[0]), brightness(&faces[1]));
    // The sensor's bytes go with the root of the light: this is half of it.
    assert!(lined < 0.7 * bare, "{bare} without a line, {lined} with it");
}

#[test]
fn landmarks_go_with_a_brow_that_is_painted_elsewhere() {
    let Some(r) = renderer() else { return };
    let mut worker = Worker::new(&r.studio, &r.gpu, (512, 512), 4).unwrap();
    let high = BrowPlace { shift: Vec2::new(0.004, 0.016), slope: 0.05, scale: 1.0 };
    let places = [BrowPlace::default(), high];
    let spec = |(place, opacity): (BrowPlace, f32)| {
        let mut spec = plain(&r.studio, Blendshapes::default());
        spec.look.brow_paint = [0.0, 0.0, 0.0, opacity];
        spec.look.brow_place = [place; 2];
        spec
    };
    let specs: Vec<_> = places.into_iter().flat_map(|p| [(p, 0.0), (p, 1.0)]).map(spec).collect();
    let faces = render(&mut worker, &specs);
    for (side, (_, points)) in REGIONS.iter().filter(|(name, _)| name.ends_with("brow")).enumerate() {
        let landmarks = |face: &Rendered| {
            points.iter().map(|i| face.label.landmarks[*i].truncate()).sum::<Vec2>() / points.len() as f32
        };
        let middle = 0.5 * (landmarks(&faces[0]) + landmarks(&faces[2]));
        // Where paint makes the picture darker.
        let painted = |pair: &[Rendered]| {
            let (mut sum, mut total) = (Vec2::ZERO, 0.0);
            for (i, (bare, black)) in pair[0].photo.rgb.chunks(3).zip(pair[1].photo.rgb.chunks(3)).enumerate()
            {
                let at = Vec2::new((i % 512) as f32, (i / 512) as f32);
                let darker = f32::from(bare[1].saturating_sub(black[1]));
                if at.distance(middle) < 66.0 && darker > 20.0 {
                    sum += darker * at;
                    total += darker;
                }
            }
            assert!(total > 0.0, "no brow is seen on side {side}");
            sum / total
        };
        let (said, seen) =
            (landmarks(&faces[2]) - landmarks(&faces[0]), painted(&faces[2..]) - painted(&faces[..2]));
        assert!(said.y < -1.0 && said.distance(seen) < 0.3 * said.length(), "side {side}: {said} for {seen}");
    }
}

#[test]
fn lids_never_pass_each_other() {
    let Some(studio) = studio() else { return };
    let (mut stage, mut list) = (Stage::default(), DrawList::default());
    for index in 0..150 {
        let spec = sample(&studio, index);
        let rest = FaceSpec { expression: Blendshapes::default(), ..spec.clone() };
        let rest = studio.prepare(&mut stage, &rest, (256, 256), &mut list);
        let posed = studio.prepare(&mut stage, &spec, (256, 256), &mut list);
        for [upper, lower] in &EYELIDS {
            let opening = |l: &super::labels::Label| l.head_mm[upper[4]] - l.head_mm[lower[4]];
            let along = opening(&posed).dot(opening(&rest).normalize());
            assert!(along > -1.0, "face {index}: the upper lid lies {} mm below the lower one", -along);
        }
    }
}

#[test]
fn a_damaged_pack_is_refused_by_the_name_of_the_file() {
    let Some(dir) = assets() else { return };
    let copy = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(dir.join("ict_light.npz")).unwrap();
    std::fs::write(copy.path().join("ict_light.npz"), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::create_dir(copy.path().join("brows")).unwrap();
    let Err(error) = Pack::load(copy.path()) else { panic!("half a pack was loaded") };
    assert!(matches!(error, PackError::Npz(_) | PackError::Folder { .. }), "{error}");
    let mut flipped = bytes;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    std::fs::write(copy.path().join("ict_light.npz"), &flipped).unwrap();
    for folder in ["brows", "iris"] {
        let from = dir.join(folder);
        let to = copy.path().join(folder);
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
    let Err(error) = Pack::load(copy.path()) else { panic!("a changed pack was loaded") };
    assert!(error.to_string().contains("ict_light.npz"), "{error}");
    let nowhere = Pack::load(&copy.path().join("nowhere")).err().map(|e| e.to_string());
    assert!(nowhere.is_some_and(|e| e.contains("--assets")));
}

#[test]
fn a_device_nobody_has_is_an_error_that_lists_those_there_are() {
    let Some(r) = renderer() else { return };
    let opened = Gpu::open(&r.studio.pack, &r.studio.mesh, Some("no such device"));
    let Err(error @ DeviceError::NoSuchDevice { .. }) = opened else { panic!("it opened") };
    assert!(error.to_string().contains(&r.gpu.name), "{error}");
}
