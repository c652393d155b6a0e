//! The asset pack: everything needed to draw random human heads. Its README states units and layout; this file
//! reads it, checks it, and turns damage into an error that names the file.

use super::npz::{Npz, NpzError};
use glam::{Vec2, Vec3};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Number of the pack's vertices, identity modes and parts, as its README states them.
pub const VERTICES: usize = 26_719;
/// Identity modes.
pub const IDENTITY_MODES: usize = 100;

/// Why a pack could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// An array archive is missing or damaged.
    #[error(transparent)]
    Npz(#[from] NpzError),
    /// A picture is missing or damaged.
    #[error("{file}: {what}; the asset pack is damaged, fetch it again", file = file.display())]
    Image {
        /// The picture.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A folder holds too little.
    #[error("{dir}: {what}; is this the asset pack's folder? (--assets DIR)", dir = dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What is missing.
        what: String,
    },
}

/// Pixels, rows from the top, `channels` bytes each.
pub struct Picture {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes of a pixel: 1, 2 or 3.
    pub channels: usize,
    /// The bytes.
    pub data: Vec<u8>,
}

/// Displacement modes over all vertices, quantised to 16 bits with one scale for each mode.
pub struct Modes {
    /// `values[mode * 3 * VERTICES + 3 * vertex + axis]`, in units of `scale[mode]`.
    pub values: Vec<i16>,
    /// Centimetres of one unit.
    pub scale: Vec<f32>,
    /// First and one-past-last number of each mode that is not zero.
    pub span: Vec<(usize, usize)>,
}

impl Modes {
    /// Displacement of a vertex by a mode of weight one.
    pub fn at(&self, mode: usize, vertex: usize) -> Vec3 {
        let first = 3 * (mode * VERTICES + vertex);
        Vec3::from_array(std::array::from_fn(|k| f32::from(self.values[first + k]))) * self.scale[mode]
    }
}

/// The head.
pub struct HeadAsset {
    /// Neutral mean mesh, centimetres.
    pub neutral: Vec<Vec3>,
    /// Identity modes of unit variance.
    pub identity: Modes,
    /// Expression modes for weight 1.
    pub expression: Modes,
    /// Their ICT names.
    pub expression_names: Vec<String>,
    /// Triangles.
    pub tri: Vec<[u32; 3]>,
    /// Their corners in `uv`.
    pub tri_uv: Vec<[u32; 3]>,
    /// Texture coordinates, v up, the integer part of u picks the chart.
    pub uv: Vec<Vec2>,
    /// Part of each triangle.
    pub tri_part: Vec<u8>,
    /// Names of the parts.
    pub part_names: Vec<String>,
    /// The 68 iBUG points.
    pub landmarks68: Vec<u32>,
    /// Ambient occlusion, mouth shut and open.
    pub ao: Vec<u8>,
    /// Ambient occlusion with the jaw open.
    pub ao_open: Vec<u8>,
    /// Eyelash coordinates.
    pub lash_uv: Vec<Vec2>,
    /// Rotation centre of the eyeballs, left then right.
    pub eye_centre: [Vec3; 2],
    /// Their vertices.
    pub eye_range: [(usize, usize); 2],
}

impl HeadAsset {
    /// Vertices of the lashes that the shape of a blink moves, ascending, and whether they are an upper lid's: those go down with
    /// it, lower ones hardly move. Empty where the pack lacks the shape or the lashes.
    pub fn lashes(&self, blink: &str) -> Vec<(usize, bool)> {
        let part = if blink.ends_with('L') { "lal" } else { "lar" };
        let part = self.part_names.iter().position(|n| n == part);
        let mode = self.expression_names.iter().position(|n| n == blink);
        let (Some(part), Some(mode)) = (part, mode) else { return Vec::new() };
        let of_part = self.tri.iter().zip(&self.tri_part).filter(|(_, p)| usize::from(**p) == part);
        let vertices: BTreeSet<usize> = of_part.flat_map(|(t, _)| t.map(|v| v as usize)).collect();
        let moved = |v: usize| self.expression.at(mode, v).length();
        let furthest = vertices.iter().map(|v| moved(*v)).fold(0.0, f32::max);
        vertices.into_iter().map(|v| (v, moved(v) > 0.25 * furthest)).collect()
    }
}

/// One hair style.
pub struct HairAsset {
    /// File stem.
    pub name: String,
    /// Vertices on the neutral head.
    pub verts: Vec<Vec3>,
    /// Texture coordinates.
    pub uv: Vec<Vec2>,
    /// Triangles.
    pub tri: Vec<[u32; 3]>,
    /// Their corners in `uv`.
    pub tri_uv: Vec<[u32; 3]>,
    /// Eight head vertices for each vertex.
    pub bind_idx: Vec<u32>,
    /// Their weights.
    pub bind_w: Vec<f32>,
    /// Grey and alpha.
    pub picture: Picture,
}

/// Shoulders.
pub struct TorsoAsset {
    /// Vertices.
    pub verts: Vec<Vec3>,
    /// Triangles.
    pub tri: Vec<[u32; 3]>,
    /// The head vertex that each follows.
    pub bind_idx: Vec<u32>,
}

/// One environment.
pub struct Environment {
    /// Name.
    pub name: String,
    /// 128 rows of 256 linear RGB, row 0 up.
    pub pixels: Vec<Vec3>,
    /// Tone-mapped, 512 x 256.
    pub backdrop: Picture,
}

/// One skin.
pub struct Skin {
    /// File stem.
    pub name: String,
    /// Face chart, 1024 x 1024.
    pub face: Picture,
    /// Head chart, 512 x 512.
    pub head: Picture,
}

/// Recorded motion.
pub struct Motion {
    /// Columns' names, ARKit's with a capital.
    pub names: Vec<String>,
    /// Rows of `names.len()` numbers.
    pub frames: Vec<f32>,
}

impl Motion {
    /// Row `i`, one number for each name.
    pub fn row(&self, i: usize) -> &[f32] {
        let n = self.names.len();
        &self.frames[i * n..(i + 1) * n]
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.frames.len() / self.names.len().max(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The whole pack in memory.
pub struct Pack {
    /// The head.
    pub head: HeadAsset,
    /// Hair styles, by name.
    pub hair: Vec<HairAsset>,
    /// Shoulders.
    pub torso: TorsoAsset,
    /// Environments, by name.
    pub environments: Vec<Environment>,
    /// Skins, by name.
    pub skins: Vec<Skin>,
    /// Brow alpha maps, by name.
    pub brows: Vec<Picture>,
    /// Irises with their names.
    pub irises: Vec<(String, Picture)>,
    /// Motion.
    pub motion: Motion,
}

impl Pack {
    /// Reads and checks the pack in `dir`.
    ///
    /// # Errors
    /// Where a file is missing, truncated, or does not fit the others; the message names it.
    pub fn load(dir: &Path) -> Result<Self, PackError> {
        if !dir.join("ict_light.npz").is_file() {
            let what = "it holds no ict_light.npz".to_owned();
            return Err(PackError::Folder { dir: dir.to_path_buf(), what });
        }
        let brows = stems(&dir.join("brows"), "png", 1)?.into_iter().map(|(_, p)| load_png(&p, 1024, 512, 1));
        let irises =
            stems(&dir.join("iris"), "jpg", 1)?.into_iter().map(|(n, p)| Ok((n, load_jpeg(&p, 512, 512)?)));
        Ok(Self {
            head: load_head(&dir.join("ict_light.npz"))?,
            hair: stems(&dir.join("hair"), "npz", 1)?
                .into_iter()
                .map(|(n, p)| load_hair(n, &p))
                .collect::<Result<_, _>>()?,
            torso: load_torso(&dir.join("torso.npz"))?,
            environments: load_environments(dir)?,
            skins: load_skins(&dir.join("skins"))?,
            brows: brows.collect::<Result<_, _>>()?,
            irises: irises.collect::<Result<_, PackError>>()?,
            motion: load_motion(&dir.join("arkit_motion.npz"))?,
        })
    }
}

fn vec3s(flat: &[f32]) -> Vec<Vec3> {
    flat.chunks_exact(3).map(Vec3::from_slice).collect()
}

fn vec2s(flat: &[f32]) -> Vec<Vec2> {
    flat.chunks_exact(2).map(Vec2::from_slice).collect()
}

fn triples(flat: &[u32]) -> Vec<[u32; 3]> {
    flat.chunks_exact(3).map(|t| [t[0], t[1], t[2]]).collect()
}

fn load_head(path: &Path) -> Result<HeadAsset, PackError> {
    let mut z = Npz::open(path)?;
    let uv = vec2s(&z.array("uv")?.expect_shape(&[0, 2])?.f32()?);
    let tri = triples(&z.array("tri")?.expect_shape(&[0, 3])?.indices(VERTICES)?);
    let count = tri.len();
    let part_names = z.array("part_names")?.strings()?;
    let expression_names = z.array("expression_names")?.strings()?;
    let centre = vec3s(&z.array("eye_centre")?.expect_shape(&[2, 3])?.f32()?);
    let range = z.array("eye_range")?.expect_shape(&[2, 2])?.indices(VERTICES + 1)?;
    Ok(HeadAsset {
        neutral: vec3s(&z.array("neutral")?.expect_shape(&[VERTICES, 3])?.f32()?),
        identity: modes(&z.array("identity")?.expect_shape(&[IDENTITY_MODES, VERTICES, 3])?.f32()?),
        expression: modes(
            &z.array("expression")?.expect_shape(&[expression_names.len(), VERTICES, 3])?.f32()?,
        ),
        expression_names,
        tri_uv: triples(&z.array("tri_uv")?.expect_shape(&[count, 3])?.indices(uv.len())?),
        tri_part: z
            .array("tri_part")?
            .expect_shape(&[count])?
            .indices(part_names.len())?
            .iter()
            .map(|p| *p as u8)
            .collect(),
        tri,
        uv,
        part_names,
        landmarks68: z.array("landmarks68")?.expect_shape(&[68])?.indices(VERTICES)?,
        ao: z.array("ao")?.expect_shape(&[VERTICES])?.u8()?.to_vec(),
        ao_open: z.array("ao_open")?.expect_shape(&[VERTICES])?.u8()?.to_vec(),
        lash_uv: vec2s(&z.array("lash_uv")?.expect_shape(&[VERTICES, 2])?.f32()?),
        eye_centre: [centre[0], centre[1]],
        eye_range: [(range[0] as usize, range[1] as usize), (range[2] as usize, range[3] as usize)],
    })
}

fn modes(flat: &[f32]) -> Modes {
    let mut out = Modes { values: Vec::with_capacity(flat.len()), scale: Vec::new(), span: Vec::new() };
    for mode in flat.chunks_exact(3 * VERTICES) {
        let peak = mode.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let scale = if peak > 0.0 { peak / 32_767.0 } else { 1.0 };
        out.values.extend(mode.iter().map(|v| (v / scale).round() as i16));
        out.scale.push(scale);
        let first = mode.iter().position(|v| *v != 0.0).unwrap_or(0);
        let end = mode.iter().rposition(|v| *v != 0.0).map_or(0, |i| i + 1);
        out.span.push((first, end));
    }
    out
}

fn load_hair(name: String, path: &Path) -> Result<HairAsset, PackError> {
    let mut z = Npz::open(path)?;
    let verts = vec3s(&z.array("verts")?.expect_shape(&[0, 3])?.f32()?);
    let uv = vec2s(&z.array("uv")?.expect_shape(&[0, 2])?.f32()?);
    let tri = triples(&z.array("tri")?.expect_shape(&[0, 3])?.indices(verts.len())?);
    Ok(HairAsset {
        tri_uv: triples(&z.array("tri_uv")?.expect_shape(&[tri.len(), 3])?.indices(uv.len())?),
        bind_idx: z.array("bind_idx")?.expect_shape(&[verts.len(), 8])?.indices(VERTICES)?,
        bind_w: z.array("bind_w")?.expect_shape(&[verts.len(), 8])?.f32()?,
        picture: load_png(&path.with_extension("png"), 1024, 1024, 2)?,
        name,
        verts,
        uv,
        tri,
    })
}

fn load_torso(path: &Path) -> Result<TorsoAsset, PackError> {
    let mut z = Npz::open(path)?;
    let verts = vec3s(&z.array("verts")?.expect_shape(&[0, 3])?.f32()?);
    Ok(TorsoAsset {
        tri: triples(&z.array("tri")?.expect_shape(&[0, 3])?.indices(verts.len())?),
        bind_idx: z.array("bind_idx")?.expect_shape(&[verts.len()])?.indices(VERTICES)?,
        verts,
    })
}

fn load_environments(dir: &Path) -> Result<Vec<Environment>, PackError> {
    let mut z = Npz::open(&dir.join("hdri.npz"))?;
    let mut names = z.names();
    names.sort();
    let load = |name: String| {
        let pixels = vec3s(&z.array(&name)?.expect_shape(&[128, 256, 3])?.f32()?);
        let backdrop = load_jpeg(&dir.join("backgrounds").join(format!("{name}.jpg")), 512, 256)?;
        Ok(Environment { name, pixels, backdrop })
    };
    names.into_iter().map(load).collect()
}

fn load_skins(dir: &Path) -> Result<Vec<Skin>, PackError> {
    let heads = stems(dir, "jpg", 2)?;
    let names = heads.iter().filter_map(|(n, _)| n.strip_suffix("_face"));
    let load = |name: &str| {
        let part = |what: &str, side| load_jpeg(&dir.join(format!("{name}_{what}.jpg")), side, side);
        Ok(Skin { name: name.to_owned(), face: part("face", 1024)?, head: part("head", 512)? })
    };
    names.map(load).collect()
}

fn load_motion(path: &Path) -> Result<Motion, PackError> {
    let mut z = Npz::open(path)?;
    let names = z.array("names")?.strings()?;
    let frames = z.array("frames")?.expect_shape(&[0, names.len()])?.f32()?;
    if frames.is_empty() {
        return Err(NpzError { file: path.to_path_buf(), what: "it holds no frames".into() }.into());
    }
    Ok(Motion { names, frames })
}

/// Files of a folder with this extension, by name; at least `least`.
fn stems(dir: &Path, extension: &str, least: usize) -> Result<Vec<(String, PathBuf)>, PackError> {
    let fail = |what: String| PackError::Folder { dir: dir.to_path_buf(), what };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| fail(e.to_string()))? {
        let path = entry.map_err(|e| fail(e.to_string()))?.path();
        if path.extension().is_some_and(|e| e == extension) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push((stem, path));
        }
    }
    found.sort();
    if found.len() < least { Err(fail(format!("it holds no .{extension} files"))) } else { Ok(found) }
}

fn check_size(file: &Path, picture: Picture, width: u32, height: u32) -> Result<Picture, PackError> {
    if (picture.width, picture.height) == (width, height) {
        return Ok(picture);
    }
    let what = format!("{}x{} pixels instead of {width}x{height}", picture.width, picture.height);
    Err(PackError::Image { file: file.to_path_buf(), what })
}

fn load_jpeg(file: &Path, width: u32, height: u32) -> Result<Picture, PackError> {
    let fail = |what: String| PackError::Image { file: file.to_path_buf(), what };
    let bytes = fs::read(file).map_err(|e| fail(e.to_string()))?;
    let image =
        turbojpeg::decompress(&bytes, turbojpeg::PixelFormat::RGB).map_err(|e| fail(e.to_string()))?;
    let picture =
        Picture { width: image.width as u32, height: image.height as u32, channels: 3, data: image.pixels };
    check_size(file, picture, width, height)
}

fn load_png(file: &Path, width: u32, height: u32, channels: usize) -> Result<Picture, PackError> {
    let fail = |what: String| PackError::Image { file: file.to_path_buf(), what };
    let mut image = image::open(file).map_err(|e| fail(e.to_string()))?;
    // The pack's procedural hair texture has half the others' size; a texture array wants them alike.
    if (image.width() * 2, image.height() * 2) == (width, height) {
        image = image.resize_exact(width, height, image::imageops::FilterType::Triangle);
    }
    let (w, h) = (image.width(), image.height());
    let data =
        if channels == 1 { image.into_luma8().into_raw() } else { image.into_luma_alpha8().into_raw() };
    check_size(file, Picture { width: w, height: h, channels, data }, width, height)
}
