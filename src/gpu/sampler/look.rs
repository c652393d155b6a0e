//! Skin, hair, brows, eyes, beard and make-up.

use crate::gpu::brows::BrowPlace;
use crate::gpu::pack::Pack;
use crate::gpu::rng::Rng;
use crate::gpu::spec::{Look, Thing};
use glam::Vec3;

/// Linear hair colours from black through brown and blond to red and grey.
const HAIR: [[f32; 3]; 9] = [
    [0.010, 0.008, 0.007],
    [0.022, 0.014, 0.010],
    [0.055, 0.030, 0.016],
    [0.11, 0.058, 0.028],
    [0.20, 0.115, 0.052],
    [0.40, 0.27, 0.125],
    [0.22, 0.065, 0.020],
    [0.24, 0.235, 0.23],
    [0.45, 0.44, 0.42],
];

struct Person {
    dark: bool,
    old: bool,
    woman: bool,
}

fn person(name: &str) -> Person {
    Person {
        dark: name.contains("darkskinned"),
        old: name.starts_with("old"),
        woman: name.contains("female"),
    }
}

/// A person's looks.
pub fn sample(rng: &mut Rng, pack: &Pack) -> Look {
    let dark_wanted = rng.chance(0.36);
    let fitting: Vec<usize> =
        (0..pack.skins.len()).filter(|i| person(&pack.skins[*i].name).dark == dark_wanted).collect();
    let skin =
        if fitting.is_empty() { rng.below(pack.skins.len()) } else { fitting[rng.below(fitting.len())] };
    let who = person(&pack.skins[skin].name);
    // The dark textures' cheeks reflect 6 to 9 %, the light ones' 25 to 54 %: with these tones skin goes without a gap from
    // 8 to 55 %, as it does in people.
    let tone = if who.dark { rng.log_range(0.95, 2.6) } else { 0.48 + 0.62 * rng.unit().sqrt() };
    let tint = Vec3::new(tone, tone.powf(1.3), tone.powf(1.6));
    let shade = Vec3::new(1.0 + 0.04 * rng.normal(), 1.0 + 0.04 * rng.normal(), 1.0 + 0.05 * rng.normal());
    let hair_color = hair_color(rng, &who);
    let brow_color = hair_color * rng.range(0.45, 0.9);
    let made_up = if who.woman { rng.chance(0.55) } else { rng.chance(0.04) };
    let (beard_paint, beard_shape) = beard(rng, &who, hair_color);
    let detail = [
        rng.range(0.05, 0.45),
        if rng.chance(0.3) { rng.range(0.2, 1.0) } else { rng.range(0.0, 0.25) },
        if !who.dark && rng.chance(0.2) { rng.range(0.3, 1.0) } else { 0.0 },
        if who.old { rng.range(0.3, 1.0) } else { rng.range(0.0, 0.28) },
    ];
    let mut paint = |odds: f32, low: f32, high: f32, color: Vec3| {
        color.extend(if made_up && rng.chance(odds) { rng.range(low, high) } else { 0.0 }).to_array()
    };
    let lips = paint(0.7, 0.25, 0.9, Vec3::ONE);
    let eye_shadow = paint(0.5, 0.15, 0.7, Vec3::ONE);
    let blush = paint(0.5, 0.1, 0.5, Vec3::new(1.0, 0.42, 0.40));
    let lips = recolored(lips, lipstick(rng));
    let eye_shadow = recolored(eye_shadow, shadow_color(rng));
    Look {
        skin,
        tint: (tint * shade).clamp(Vec3::splat(0.15), Vec3::splat(5.0)),
        gloss: rng.log_range(0.03, 0.24),
        detail,
        brow: rng.below(pack.brows.len()),
        brow_paint: brow_color
            .extend(if rng.chance(0.06) { rng.range(0.05, 0.4) } else { rng.range(0.6, 1.0) })
            .to_array(),
        iris: iris(rng, pack, who.dark),
        eye: [
            rng.range(0.75, 1.25),
            rng.range(0.55, 0.95),
            if rng.chance(0.2) { rng.range(0.3, 1.0) } else { rng.range(0.0, 0.3) },
        ],
        hair: hair(rng, pack, &who),
        hair_paint: hair_color.extend(rng.range(0.15, 0.9)).to_array(),
        beard_paint,
        beard_shape,
        lips,
        eye_shadow,
        blush,
        lashes: [
            if made_up { rng.range(0.2, 1.0) } else { rng.range(0.0, 0.15) },
            if made_up { rng.range(0.7, 1.0) } else { rng.range(0.25, 0.95) },
            rng.range(0.5, 1.0),
        ],
        lash_line: [0.0; 4],
        brow_place: [BrowPlace::default(); 2],
        teeth: Vec3::new(1.0, rng.range(0.92, 1.06), rng.range(0.8, 1.3)) * rng.range(0.75, 1.15),
        cloth: Vec3::new(rng.range(0.4, 1.0), rng.range(0.4, 1.0), rng.range(0.4, 1.0))
            * rng.log_range(0.02, 0.7),
    }
}

/// Eye liner from which lashes are made up, too.
const MADE_UP: f32 = 0.15;

/// The line that lashes' roots make along a lid. In real eyes that are shut it is all that is dark, and it is as dark without
/// make-up as an eye that is open by a slit.
pub fn lash_line(rng: &mut Rng, look: &Look) -> [f32; 4] {
    let made_up = look.lashes[0] > MADE_UP;
    let line = if made_up { rng.range(0.6, 1.0) } else { rng.range(0.3, 1.0) };
    [line, rng.range(0.1, 0.8), rng.range(0.14, 0.4), rng.range(0.35, 0.95)]
}

fn recolored(paint: [f32; 4], color: Vec3) -> [f32; 4] {
    color.extend(paint[3]).to_array()
}

fn hair_color(rng: &mut Rng, who: &Person) -> Vec3 {
    let weights = match (who.dark, who.old) {
        (true, true) => [0.3, 0.15, 0.05, 0.0, 0.0, 0.0, 0.0, 0.35, 0.15],
        (true, false) => [0.5, 0.32, 0.1, 0.04, 0.01, 0.02, 0.01, 0.0, 0.0],
        (false, true) => [0.06, 0.08, 0.1, 0.1, 0.08, 0.06, 0.02, 0.3, 0.2],
        (false, false) => [0.18, 0.18, 0.18, 0.15, 0.1, 0.1, 0.07, 0.03, 0.01],
    };
    let mut color = Vec3::from_array(HAIR[rng.weighted(&weights)]) * rng.log_range(0.75, 1.35);
    if rng.chance(0.02) {
        // Dyed.
        color = Vec3::new(rng.log_range(0.02, 0.6), rng.log_range(0.02, 0.4), rng.log_range(0.02, 0.6));
    }
    color
}

fn iris(rng: &mut Rng, pack: &Pack, dark: bool) -> usize {
    let brown: Vec<usize> = (0..pack.irises.len()).filter(|i| pack.irises[*i].0.contains("brown")).collect();
    if !brown.is_empty() && (rng.chance(0.5) || (dark && rng.chance(0.9))) {
        return brown[rng.below(brown.len())];
    }
    rng.below(pack.irises.len())
}

fn hair(rng: &mut Rng, pack: &Pack, who: &Person) -> Option<usize> {
    // (style, men, women); the pack's bob02 and short03 hide an eye, so they are rarer.
    const STYLES: [(&str, f32, f32); 9] = [
        ("afro01", 0.6, 0.8),
        ("bob02", 0.0, 0.6),
        ("braid01", 0.0, 1.2),
        ("long01", 0.25, 2.2),
        ("ponytail01", 0.15, 2.0),
        ("short01", 2.0, 0.3),
        ("short02", 1.6, 1.0),
        ("short03", 0.6, 0.4),
        ("short04", 2.4, 0.3),
    ];
    let weight = |name: &str| {
        let (_, man, woman) = STYLES.iter().find(|s| s.0 == name).copied().unwrap_or(("", 0.3, 0.3));
        if name == "afro01" && !who.dark {
            0.0
        } else if who.woman {
            woman
        } else {
            man
        }
    };
    let mut weights: Vec<f32> = pack.hair.iter().map(|h| weight(&h.name)).collect();
    weights.push(if who.woman { 0.25 } else { 1.6 });
    let drawn = rng.weighted(&weights);
    (drawn < pack.hair.len()).then_some(drawn)
}

/// Stubble to a full beard, moustache, goatee: paint and shape.
fn beard(rng: &mut Rng, who: &Person, hair: Vec3) -> ([f32; 4], [f32; 4]) {
    let color = (hair * rng.range(0.5, 1.1)).max(Vec3::splat(0.006));
    if who.woman {
        return (color.extend(0.0).to_array(), [0.0; 4]);
    }
    let (jaw, lip) = match rng.weighted(&[0.32, 0.38, 0.12, 0.1, 0.08]) {
        0 => (0.0, 0.0),
        1 => (1.0, 1.0),
        2 => (0.0, 1.0),
        3 => (1.0, 0.2),
        _ => (0.55, 1.0),
    };
    let full = if rng.chance(0.45) { rng.range(0.55, 1.0) } else { rng.range(0.0, 0.3) };
    let density = if full > 0.5 { rng.range(0.7, 1.0) } else { rng.range(0.12, 0.75) };
    (color.extend(density).to_array(), [jaw, lip, full, rng.range(9.0, 16.0)])
}

fn lipstick(rng: &mut Rng) -> Vec3 {
    let red = rng.range(0.18, 0.75);
    Vec3::new(red, red * rng.range(0.06, 0.5), red * rng.range(0.1, 0.6))
}

fn shadow_color(rng: &mut Rng) -> Vec3 {
    if rng.chance(0.6) {
        Vec3::new(0.20, 0.11, 0.075) * rng.range(0.25, 1.6)
    } else {
        Vec3::new(rng.range(0.02, 0.5), rng.range(0.02, 0.4), rng.range(0.05, 0.6))
    }
}

/// Luminance that the face's skin reflects, 0 to 1: the mean of its cheek, tinted.
pub fn reflectance(look: &Look, pack: &Pack) -> f32 {
    (cheek(pack, look.skin) * look.tint).dot(Vec3::new(0.2126, 0.7152, 0.0722))
}

/// Mean linear colour of a skin's cheek.
pub fn cheek(pack: &Pack, skin: usize) -> Vec3 {
    const STEP: usize = 4;
    let face = &pack.skins[skin].face;
    let (mut sum, mut count) = (Vec3::ZERO, 0.0);
    // The chart's cheek, right of its middle and a little below.
    for y in (560..600usize).step_by(STEP) {
        for x in (690..730usize).step_by(STEP) {
            let at = (y * face.width as usize + x) * 3;
            let linear = |v: u8| crate::gpu::textures::srgb_to_linear(v);
            sum += Vec3::new(linear(face.data[at]), linear(face.data[at + 1]), linear(face.data[at + 2]));
            count += 1.0;
        }
    }
    sum / count
}

/// What is worn changes the looks: no hair stands through a cap.
pub fn with_things(mut look: Look, things: &[Thing], pack: &Pack) -> Look {
    if things.iter().any(|t| matches!(t, Thing::Cap { .. })) {
        let under_a_cap = |name: &str| matches!(name, "short04" | "long01");
        look.hair = look.hair.filter(|h| under_a_cap(&pack.hair[*h].name));
    }
    look
}
