//! From what a picture is to show to what the device draws, and to the labels.

use super::brows::BrowChart;
use super::camera::{Camera, NEAR_MM};
use super::labels::{self, Label, POINT_COUNT};
use super::light::EnvironmentLight;
use super::mesh::{HeadMesh, StaticVertex, pack_normal, unorm8};
use super::pack::Pack;
use super::places::{LandmarkPlaces, Place, point};
use super::seal::Seals;
use super::shape::{ExpressionMap, Shape, smooth_normals};
use super::spec::{Cut, FaceSpec, Thing};
use super::target::{DrawList, MovingVertex};
use super::textures::split_seams;
use super::things::{self, Fit};
use super::tongue::TonguePlaces;
use super::uniform::FaceUniform;
use crate::face::{Blendshape, LANDMARK_COUNT};
use crate::geom::Rect;
use glam::{Affine2, Mat2, Mat3, Vec2, Vec3};

/// What all faces are made from.
pub struct Studio {
    /// The pack.
    pub pack: Pack,
    /// The head's topology.
    pub mesh: HeadMesh,
    /// Landmarks on the head.
    pub places: LandmarkPlaces,
    /// Light of the pack's environments.
    pub environments: Vec<EnvironmentLight>,
    map: ExpressionMap,
    seals: Seals,
    tongue: TonguePlaces,
    brows: BrowChart,
    hair_sources: Vec<Vec<u32>>,
    anchors: Anchors,
}

/// Head vertices that things are fitted to, found on the neutral mesh.
struct Anchors {
    ears: [usize; 2],
    top: usize,
    forehead: usize,
    back: usize,
}

impl Anchors {
    fn find(neutral: &[Vec3]) -> Self {
        let nearest = |want: Vec3| {
            let distance = |i: &usize| neutral[*i].distance_squared(want);
            (0..neutral.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
        };
        let extreme = |axis: Vec3| {
            let along = |i: &usize| neutral[*i].dot(axis) - 0.5 * neutral[*i].x.abs();
            (0..neutral.len())
                .filter(|i| neutral[*i].y > 0.0)
                .max_by(|a, b| along(a).total_cmp(&along(b)))
                .unwrap_or(0)
        };
        let ear = |x: f32| nearest(Vec3::new(x, 3.6, 0.6));
        Self {
            ears: [ear(8.0), ear(-8.0)],
            top: extreme(Vec3::Y),
            forehead: nearest(Vec3::new(0.0, 9.2, 10.5)),
            back: extreme(Vec3::NEG_Z),
        }
    }
}

/// Working memory of one thread.
#[derive(Default)]
pub struct Stage {
    shape: Shape,
}

impl Studio {
    /// Prepares a pack for drawing.
    pub fn new(pack: Pack, places: LandmarkPlaces) -> Self {
        Self {
            mesh: HeadMesh::new(&pack.head),
            environments: pack.environments.iter().map(EnvironmentLight::new).collect(),
            map: ExpressionMap::new(&pack.head),
            seals: Seals::new(&pack.head, &places),
            tongue: TonguePlaces::new(&pack.head),
            brows: BrowChart::new(&pack.head, &places),
            hair_sources: pack.hair.iter().map(|h| split_seams(h).0).collect(),
            anchors: Anchors::find(&pack.head.neutral),
            pack,
            places,
        }
    }

    /// Names of coefficients that move nothing; empty for a sound pack.
    pub fn missing_shapes(&self) -> Vec<&'static str> {
        self.map.missing()
    }

    /// Shapes a face, cuts its picture and labels it. Fills `list`; visibility is filled in after drawing.
    pub fn prepare(
        &self,
        stage: &mut Stage,
        spec: &FaceSpec,
        picture: (u32, u32),
        list: &mut DrawList,
    ) -> Label {
        let shape = &mut stage.shape;
        shape.set_identity(&self.pack.head, &self.places, &self.seals, &spec.identity);
        let brows = self.brows.places(&spec.look.brow_place);
        let neutral = self.landmarks(shape, &shape.base, &brows);
        let fit = self.fit(shape, &neutral);
        shape.set_expression(&self.pack.head, &self.map, &self.places, &self.seals, &spec.expression);
        self.tongue.lay(&mut shape.posed, &spec.expression, &spec.tongue);
        shape.update_normals(&self.mesh.normal_tri);
        let posed = self.landmarks(shape, &shape.posed, &brows);
        let camera = camera(spec, &posed, picture);
        self.fill_vertices(shape, spec, list);
        Self::fill_things(spec, &fit, list);
        let mut label = labels::label(spec, shape, &self.pack.head, &camera, &neutral, &posed);
        label.faults_scale = camera.picture_from_frame.matrix2.x_axis.length();
        list.points.clear();
        list.points.extend(label.image_points().map(|(p, depth)| [p.x, p.y, depth, 0.0]));
        debug_assert_eq!(list.points.len(), POINT_COUNT);
        list.mouth = mouth_shows(&posed) || spec.expression[Blendshape::TongueOut] > 0.0;
        list.shadow = spec.light.key.color.max_element() > 0.02 * spec.light.sh[0].max_element();
        list.uniform = Some(Box::new(Self::uniform(spec, shape, &camera, [&neutral, &posed], list.shadow)));
        label
    }

    /// The 478 landmarks on a mesh of this shape, `moved` ones elsewhere than they are by default; head space, millimetres.
    fn landmarks(&self, shape: &Shape, flat: &[f32], moved: &[(usize, Place)]) -> Vec<Vec3> {
        let mut points: Vec<Vec3> =
            (0..LANDMARK_COUNT).map(|i| shape.to_head(self.places.on(flat, i))).collect();
        for (landmark, place) in moved {
            points[*landmark] = shape.to_head(point(flat, *place));
        }
        // An iris' middle lies in the plane of its rim, as on the canonical head, not on the ball that bulges before it.
        for centre in IRIS_CENTRES {
            points[centre] = points[centre + 1..centre + 5].iter().sum::<Vec3>() / 4.0;
        }
        points
    }

    fn fit(&self, shape: &Shape, neutral: &[Vec3]) -> Fit {
        let base = |v: usize| shape.to_head(Vec3::from_slice(&shape.base[3 * v..3 * v + 3]));
        Fit {
            bridge: neutral[168],
            pupils: [neutral[473], neutral[468]],
            ears: self.anchors.ears.map(base),
            top: base(self.anchors.top),
            forehead: base(self.anchors.forehead),
            back: base(self.anchors.back),
            mouth: neutral[291],
        }
    }

    fn fill_vertices(&self, shape: &Shape, spec: &FaceSpec, list: &mut DrawList) {
        let vertex =
            |p: Vec3, n: Vec3| MovingVertex { position: shape.to_head(p).to_array(), normal: pack_normal(n) };
        list.vertices.clear();
        list.vertices.extend(self.mesh.source.iter().map(|v| {
            let v = *v as usize;
            vertex(Vec3::from_slice(&shape.posed[3 * v..3 * v + 3]), shape.normals[v])
        }));
        let torso = &self.pack.torso;
        let points = shape.torso(&self.pack.head, torso);
        let normals = smooth_normals(&points, &torso.tri);
        list.vertices.extend(points.iter().zip(&normals).map(|(p, n)| vertex(*p, *n)));
        let c = spec.look.cloth.to_array().map(unorm8);
        let cloth = StaticVertex { uv: [0.0; 2], masks: [c[0], c[1], c[2], 235], shade: [10, 140, 255, 255] };
        list.torso_statics.clear();
        list.torso_statics.resize(torso.verts.len(), cloth);
        list.hair = spec.look.hair;
        if let Some(style) = spec.look.hair {
            let hair = &self.pack.hair[style];
            let points = shape.hair(&self.pack.head, hair);
            let normals = smooth_normals(&points, &hair.tri);
            let source = &self.hair_sources[style];
            list.vertices.extend(source.iter().map(|v| vertex(points[*v as usize], normals[*v as usize])));
        }
    }

    fn fill_things(spec: &FaceSpec, fit: &Fit, list: &mut DrawList) {
        list.things.clear();
        list.thing_statics.clear();
        list.thing_indices.clear();
        let mut lenses = Vec::new();
        for thing in &spec.things {
            things::add(list, fit, thing, &mut lenses);
        }
        list.solid_corners = list.thing_indices.len();
        list.thing_indices.extend(lenses);
    }

    fn uniform(
        spec: &FaceSpec,
        shape: &Shape,
        camera: &Camera,
        [neutral, posed]: [&[Vec3]; 2],
        shadow: bool,
    ) -> FaceUniform {
        let mut u = FaceUniform::zeroed_with(spec);
        u.teeth[0][3] = (posed[13].distance(posed[14]) / PARTED_MM).min(1.0);
        u.tongue = [spec.tongue.light(&spec.expression)];
        let (r, t) = (spec.pose.rotation, spec.pose.translation_mm);
        u.camera = std::array::from_fn(|i| r.row(i).extend(t[i]).to_array());
        let k = camera.intrinsics;
        u.pinhole = [[k.focal_px, k.center.x, k.center.y, NEAR_MM]];
        let a = camera.picture_from_frame;
        u.crop = std::array::from_fn(|i| [a.matrix2.x_axis[i], a.matrix2.y_axis[i], a.translation[i], 0.0]);
        u.warp = [[camera.distortion[0], camera.distortion[1], camera.rolling_px.x, camera.rolling_px.y]];
        u.size = [[camera.frame.x, camera.frame.y, camera.picture.x, camera.picture.y]];
        let eye_point = -(r.transpose() * t);
        u.eye_point = [eye_point.extend(0.0).to_array()];
        u.shadow = shadow_rows(spec.light.key.direction);
        u.key_dir[0][3] = if shadow { spec.light.shadow } else { 0.0 };
        let jaw =
            spec.expression[Blendshape::JawOpen] / 0.7 + 0.1 * spec.expression[Blendshape::MouthSmileLeft];
        u.mouth_eye = [[jaw.clamp(0.0, 1.0), spec.look.eye[1], 0.9, spec.look.eye[0]]];
        for side in 0..2 {
            let centre = shape.to_head(shape.eye_centre[side]);
            let gap = |p: &[Vec3]| p[UPPER_LID[side][3]].distance(p[LOWER_LID[side][3]]);
            let shut = 1.0 - (gap(posed) / gap(neutral).max(1.0)).clamp(0.0, 1.0);
            u.eyeball[side] = centre.extend(SUNK_MM * shut).to_array();
            u.lid_upper[side] = lid_curve(posed, &UPPER_LID[side], centre);
            u.lid_lower[side] = lid_curve(posed, &LOWER_LID[side], centre);
            u.lid_lower[side][3] = shut;
        }
        u
    }
}

/// How far the eyeball of a shut eye is drawn behind its place: further than the model's stands before its lids.
const SUNK_MM: f32 = 5.0;

/// Lips this far apart leave the front teeth in the light.
const PARTED_MM: f32 = 5.0;

/// Irises' middles; the four points of the rim follow each.
const IRIS_CENTRES: [usize; 2] = [468, 473];

/// Landmarks of the lids' edges, left eye then right, corners left out: they belong to both.
const UPPER_LID: [[usize; 7]; 2] = [[466, 388, 387, 386, 385, 384, 398], [246, 161, 160, 159, 158, 157, 173]];
const LOWER_LID: [[usize; 7]; 2] = [[249, 390, 373, 374, 380, 381, 382], [7, 163, 144, 145, 153, 154, 155]];

/// Least squares of `y = a + b x + c x²` over unit directions from the eyeball's centre.
fn lid_curve(posed: &[Vec3], lid: &[usize; 7], centre: Vec3) -> [f32; 4] {
    let directions = lid.map(|i| (posed[i] - centre).normalize());
    let (mut m, mut v) = (Mat3::ZERO, Vec3::ZERO);
    for d in directions {
        let row = Vec3::new(1.0, d.x, d.x * d.x);
        m += Mat3::from_cols(row * row.x, row * row.y, row * row.z);
        v += row * d.y;
    }
    // The seven points of an eye that is wide enough to see are never on one spot; a shut face is fine, too.
    let solved = if m.determinant().abs() > 1e-12 { m.inverse() * v } else { Vec3::new(v.x / 7.0, 0.0, 0.0) };
    solved.extend(0.0).to_array()
}

/// Whether the lips part by more than 0.7 mm anywhere along them.
fn mouth_shows(posed: &[Vec3]) -> bool {
    [(13, 14), (82, 87), (312, 317), (80, 88), (310, 318)]
        .iter()
        .any(|(a, b)| posed[*a].distance(posed[*b]) > 0.7)
}

/// Rows that map head space to the unit cube of the key light's shadow map: x and y across, z away from the light.
fn shadow_rows(direction: Vec3) -> [[f32; 4]; 3] {
    const REACH_MM: f32 = 190.0;
    /// Coarse surface against fine: the shadow starts this far behind its caster.
    const BIAS_MM: f32 = 4.0;
    let centre = Vec3::new(0.0, -5.0, -60.0);
    let (x, y) = direction.any_orthonormal_pair();
    let row = |axis: Vec3, bias: f32| {
        let a = axis / (2.0 * REACH_MM);
        a.extend(0.5 - a.dot(centre) - bias / (2.0 * REACH_MM)).to_array()
    };
    [row(x, 0.0), row(y, 0.0), row(-direction, BIAS_MM)]
}

/// The camera of a spec, with the cut fitted to the landmarks.
fn camera(spec: &FaceSpec, posed: &[Vec3], picture: (u32, u32)) -> Camera {
    let view = &spec.view;
    let size = Vec2::new(picture.0 as f32, picture.1 as f32);
    let mut camera = Camera {
        intrinsics: view.intrinsics,
        frame: view.frame,
        distortion: view.distortion,
        rolling_px: view.rolling_px,
        picture_from_frame: Affine2::from_scale(size / view.frame),
        picture: size,
    };
    if let Cut::Crop { scale, shift, turn_rad } = view.cut {
        let in_frame = |p: &Vec3| camera.project_to_frame(spec.pose.rotation * *p + spec.pose.translation_mm);
        let line = in_frame(&posed[263]) - in_frame(&posed[33]);
        let turn = line.y.atan2(line.x) + turn_rad;
        let upright = Mat2::from_angle(-turn);
        let points = posed.iter().map(|p| upright * in_frame(p));
        let bounds = Rect::bounding(points).unwrap_or_default();
        let side = bounds.size().max_element().max(1.0) * scale;
        let centre = bounds.center() + shift * side;
        let k = size.x / side;
        camera.picture_from_frame = Affine2::from_mat2_translation(upright * k, size * 0.5 - centre * k);
    }
    camera
}

impl FaceUniform {
    /// The constants that follow from looks, light and backdrop alone; the rest zero.
    fn zeroed_with(spec: &FaceSpec) -> Self {
        let (look, light, back) = (&spec.look, &spec.light, &spec.backdrop);
        let mut u: Self = bytemuck::Zeroable::zeroed();
        u.sh = light.sh.map(|c| c.extend(0.0).to_array());
        u.key_dir = [light.key.direction.extend(light.shadow).to_array()];
        u.key_color = [light.key.color.extend(light.exposure).to_array()];
        u.fill_dir = [light.fill.direction.extend(0.0).to_array()];
        u.fill_color = [light.fill.color.extend(0.0).to_array()];
        u.white_balance = [light.white_balance.extend(0.0).to_array()];
        u.layers =
            [[look.skin as f32, look.brow as f32, look.iris as f32, look.hair.map_or(0.0, |h| h as f32)]];
        u.skin = [look.tint.extend(look.gloss).to_array()];
        u.skin_detail = [look.detail];
        u.brow = [look.brow_paint];
        u.brow_place = look.brow_place.map(|p| p.uniform());
        u.hair = [look.hair_paint];
        u.beard = [look.beard_paint];
        u.beard_shape = [look.beard_shape];
        u.lips = [look.lips];
        u.eye_shadow = [look.eye_shadow];
        u.blush = [look.blush];
        u.eye_make_up = [[look.lashes[0], look.lashes[1], look.lashes[2], look.eye[2]]];
        u.lash_line = [look.lash_line];
        u.teeth = [look.teeth.extend(0.0).to_array()];
        u.background = [[back.environment as f32, back.window[0], back.window[1], back.window[2]]];
        u.wall = [back.wall];
        u.clutter = [[back.window[3], back.clutter[0], back.clutter[1], back.brightness]];
        for thing in &spec.things {
            if let Thing::Glasses { glass, .. } = thing {
                u.lens = [*glass];
            }
        }
        u
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_nearer_to_the_light_has_less_shadow_depth() {
        let d = Vec3::new(0.3, 0.5, 0.8).normalize();
        let rows = shadow_rows(d);
        let depth = |p: Vec3| p.extend(1.0).dot(glam::Vec4::from_array(rows[2]));
        assert!(depth(d * 50.0) < depth(Vec3::ZERO));
        assert!((0.0..1.0).contains(&depth(d * 100.0)));
    }
}
