//! What people wear and hold before their faces.

use crate::gpu::pack::Pack;
use crate::gpu::rng::Rng;
use crate::gpu::spec::{Look, Paint, Thing};
use glam::{Quat, Vec2, Vec3};

/// Spectacles often, the rest now and then.
pub fn sample(rng: &mut Rng, pack: &Pack, look: &Look, occluders: bool) -> Vec<Thing> {
    let mut things = Vec::new();
    if rng.chance(0.27) {
        things.push(glasses(rng, occluders));
    }
    if rng.chance(0.09) {
        things.push(Thing::Headphones {
            paint: plastic(rng),
            cup_mm: rng.range(33.0, 46.0),
            microphone: rng.chance(0.5),
        });
    } else if occluders && rng.chance(0.07) {
        let turn_rad = if rng.chance(0.15) { std::f32::consts::PI } else { 0.2 * rng.normal() };
        things.push(Thing::Cap { paint: plastic(rng), brim_mm: rng.range(35.0, 75.0), turn_rad });
    }
    if occluders && rng.chance(0.06) {
        let at = Vec3::new(rng.range(-70.0, 70.0), rng.range(-135.0, -60.0), rng.range(45.0, 110.0));
        things.push(Thing::Microphone { at, radius_mm: rng.range(13.0, 30.0), paint: plastic(rng) });
    }
    if occluders && rng.chance(0.09) {
        things.push(hand(rng, pack, look));
    }
    things
}

fn plastic(rng: &mut Rng) -> Paint {
    let color = if rng.chance(0.6) {
        Vec3::splat(rng.log_range(0.008, 0.8))
    } else {
        Vec3::new(rng.log_range(0.01, 0.7), rng.log_range(0.01, 0.7), rng.log_range(0.01, 0.7))
    };
    color.extend(rng.range(0.3, 0.95)).to_array()
}

fn glasses(rng: &mut Rng, tinted: bool) -> Thing {
    let opacity = match rng.weighted(&[0.78, 0.12, 0.10]) {
        1 if tinted => rng.range(0.15, 0.5),
        2 if tinted => rng.range(0.7, 0.97),
        _ => rng.range(0.0, 0.04),
    };
    let shade = Vec3::new(rng.range(0.02, 0.2), rng.range(0.02, 0.15), rng.range(0.02, 0.15));
    Thing::Glasses {
        lens: Vec2::new(rng.range(22.0, 30.0), rng.range(15.0, 25.0)),
        squareness: rng.range(2.0, 4.5),
        rim_mm: rng.log_range(0.4, 2.2),
        frame: plastic(rng),
        glass: shade.extend(opacity).to_array(),
        slide_mm: rng.range(-2.0, 7.0),
    }
}

/// A hand at the chin, the cheek, the mouth or the brow, coming from below or from a side.
fn hand(rng: &mut Rng, pack: &Pack, look: &Look) -> Thing {
    let side = if rng.chance(0.5) { 1.0 } else { -1.0 };
    let touch = [
        Vec3::new(0.0, -105.0, 35.0),
        Vec3::new(52.0 * side, -45.0, 25.0),
        Vec3::new(12.0 * side, -70.0, 55.0),
        Vec3::new(25.0 * side, 35.0, 40.0),
        Vec3::new(68.0 * side, 0.0, 0.0),
    ][rng.below(5)];
    let jitter = Vec3::new(rng.normal(), rng.normal(), rng.unit()) * 12.0;
    let fingers =
        Vec3::new(-0.6 * side * rng.unit() + 0.3 * rng.normal(), 0.8, 0.12 * rng.normal()).normalize();
    let facing = Vec3::new(-0.35 * touch.x.signum(), 0.0, -1.0);
    let normal =
        (Quat::from_axis_angle(fingers, 0.3 * rng.normal()) * facing).reject_from(fingers).normalize();
    // The hand's skin is the face's: mean of its texture's cheek, tinted alike.
    let texel = super::look::cheek(pack, look.skin);
    Thing::Hand {
        at: touch + jitter + Vec3::new(0.0, -30.0, 18.0),
        fingers,
        normal,
        bend_rad: rng.range(0.0, 0.55),
        scale: rng.range(0.88, 1.15),
        paint: (texel * look.tint).extend(0.75).to_array(),
    }
}
