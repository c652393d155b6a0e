//! Where everything stands in the ring, byte by byte. `docs/shm.md` and `clients/c/facetrackd_shm.h` say the same.
//!
//! All numbers are little-endian, floats are IEEE 754 binary32.

use super::RingError;
use crate::clock::MonoTime;
use crate::face::{BLENDSHAPE_COUNT, Face, FaceSample, LANDMARK_COUNT, Presence, TrackedFace};
use crate::geom::Rect;
use glam::{Mat3, Vec2, Vec3};

/// First eight bytes of the file.
pub const MAGIC: [u8; 8] = *b"FTRKRING";
/// Layouts with another number are not readable by this code.
pub const VERSION: u32 = 1;
/// Bytes before the first slot.
pub const HEADER_SIZE: usize = 256;
/// Bytes of a slot before its first face.
pub const SLOT_HEAD_SIZE: usize = 64;
/// Bytes of one face.
pub const FACE_SIZE: usize = 6080;

/// Byte offsets in the file's header. The last three change while the ring runs, the rest never.
pub mod header {
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 8;
    pub const HEADER_SIZE: usize = 12;
    pub const SLOT_SIZE: usize = 16;
    pub const SLOT_COUNT: usize = 20;
    pub const FACE_SIZE: usize = 24;
    pub const FACE_CAPACITY: usize = 28;
    pub const BLENDSHAPE_COUNT: usize = 32;
    pub const LANDMARK_COUNT: usize = 36;
    pub const WRITER_PID: usize = 40;
    pub const GENERATION: usize = 48;
    pub const STATE: usize = 56;
    pub const HEARTBEAT: usize = 64;
    pub const PUBLISHED: usize = 72;
}

/// Sizes of one ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    pub slot_count: u32,
    pub face_capacity: u32,
}

impl Geometry {
    pub fn slot_size(self) -> usize {
        SLOT_HEAD_SIZE + self.face_capacity as usize * FACE_SIZE
    }

    pub fn file_size(self) -> u64 {
        HEADER_SIZE as u64 + u64::from(self.slot_count) * self.slot_size() as u64
    }

    /// The header of a new ring.
    pub fn encode_header(self, writer_pid: u32, generation: u64) -> [u8; HEADER_SIZE] {
        let mut out = [0; HEADER_SIZE];
        out[header::MAGIC..][..8].copy_from_slice(&MAGIC);
        let mut put = |at: usize, v: u32| out[at..at + 4].copy_from_slice(&v.to_le_bytes());
        put(header::VERSION, VERSION);
        put(header::HEADER_SIZE, HEADER_SIZE as u32);
        put(header::SLOT_SIZE, self.slot_size() as u32);
        put(header::SLOT_COUNT, self.slot_count);
        put(header::FACE_SIZE, FACE_SIZE as u32);
        put(header::FACE_CAPACITY, self.face_capacity);
        put(header::BLENDSHAPE_COUNT, BLENDSHAPE_COUNT as u32);
        put(header::LANDMARK_COUNT, LANDMARK_COUNT as u32);
        put(header::WRITER_PID, writer_pid);
        out[header::GENERATION..][..8].copy_from_slice(&generation.to_le_bytes());
        out[header::HEARTBEAT..][..8].copy_from_slice(&generation.to_le_bytes());
        out
    }

    /// Reads and checks a header, the file's size included. What passes cannot lead a reader outside the file.
    pub fn decode_header(bytes: &[u8; HEADER_SIZE], file_size: u64) -> Result<Self, RingError> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[header::MAGIC..][..8] != MAGIC {
            return Err(RingError::NotARing);
        }
        if u32_at(header::VERSION) != VERSION {
            return Err(RingError::Version { found: u32_at(header::VERSION) });
        }
        let geometry =
            Self { slot_count: u32_at(header::SLOT_COUNT), face_capacity: u32_at(header::FACE_CAPACITY) };
        let is_ours = geometry.slot_count >= 2
            && geometry.face_capacity >= 1
            && geometry.slot_count <= MAX_SLOTS
            && geometry.face_capacity <= MAX_FACES
            && u32_at(header::HEADER_SIZE) as usize == HEADER_SIZE
            && u32_at(header::SLOT_SIZE) as usize == geometry.slot_size()
            && u32_at(header::FACE_SIZE) as usize == FACE_SIZE
            && u32_at(header::BLENDSHAPE_COUNT) as usize == BLENDSHAPE_COUNT
            && u32_at(header::LANDMARK_COUNT) as usize == LANDMARK_COUNT
            && file_size == geometry.file_size();
        if is_ours { Ok(geometry) } else { Err(RingError::NotARing) }
    }
}

/// Most slots a ring may have.
pub const MAX_SLOTS: u32 = 1024;
/// Most faces a slot may hold.
pub const MAX_FACES: u32 = 16;

/// Writes numbers one after another. Sizes are constants, so that running out of room is a bug.
struct Pen<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Pen<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn u32(&mut self, v: u32) {
        self.put(&v.to_le_bytes());
    }

    fn u64(&mut self, v: u64) {
        self.put(&v.to_le_bytes());
    }

    fn floats(&mut self, values: impl IntoIterator<Item = f32>) {
        for v in values {
            self.put(&v.to_le_bytes());
        }
    }
}

/// Where a slot's head says whether a frame was measured: 1, or 0 while the source is silent.
const FROM_FRAME: usize = 56;
const TRACKED: u32 = 1;
const FADING: u32 = 2;

/// Writes a slot but for its sequence; gives the bytes used. `out` is a whole slot.
pub fn encode_slot(sample: &FaceSample, published_at: MonoTime, out: &mut [u8]) -> usize {
    let capacity = (out.len() - SLOT_HEAD_SIZE) / FACE_SIZE;
    let mut pen = Pen { bytes: out, at: 8 };
    pen.u64(sample.index);
    pen.u64(sample.captured_at.as_nanos());
    pen.u64(published_at.as_nanos());
    pen.u64(sample.stream_time.as_nanos());
    pen.floats(sample.image_size.to_array());
    pen.u32(sample.faces.len().min(capacity) as u32);
    pen.u32(sample.faces.len() as u32);
    pen.u64(u64::from(sample.from_frame));
    for face in sample.faces.iter().take(capacity) {
        encode_face(face, &mut pen);
    }
    pen.at
}

fn encode_face(tracked: &TrackedFace, pen: &mut Pen<'_>) {
    let (start, face) = (pen.at, &tracked.face);
    let angles = face.head.angles();
    pen.u32(face.id);
    pen.u32(if tracked.presence == Presence::Tracked { TRACKED } else { FADING });
    pen.floats([face.presence, face.bounds.min.x, face.bounds.min.y, face.bounds.max.x, face.bounds.max.y]);
    pen.floats(face.head.rotation.transpose().to_cols_array());
    pen.floats(face.head.translation_mm.to_array());
    pen.floats([angles.yaw_rad, angles.pitch_rad, angles.roll_rad]);
    pen.floats(face.gaze.left.to_array());
    pen.floats(face.gaze.right.to_array());
    pen.floats(face.blendshapes.iter().map(|(_, v)| v));
    pen.floats(face.landmarks.iter().flat_map(Vec3::to_array));
    pen.at = start + FACE_SIZE;
}

/// Number of faces in a slot, as far as its head says; never more than fit.
pub fn face_count(slot_head: &[u8], capacity: u32) -> usize {
    Eye { bytes: slot_head, at: 48 }.u32().min(capacity) as usize
}

/// Reads numbers one after another.
struct Eye<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Eye<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        out
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn f32(&mut self) -> f32 {
        f32::from_le_bytes(self.take())
    }

    fn vec2(&mut self) -> Vec2 {
        Vec2::new(self.f32(), self.f32())
    }

    fn vec3(&mut self) -> Vec3 {
        Vec3::new(self.f32(), self.f32(), self.f32())
    }
}

/// Reads a slot into a recycled sample. Allocates only while the sample has seen fewer faces.
pub fn decode_slot(slot: &[u8], out: &mut FaceSample) {
    let capacity = ((slot.len() - SLOT_HEAD_SIZE) / FACE_SIZE) as u32;
    let count = face_count(slot, capacity);
    let mut eye = Eye { bytes: slot, at: 8 };
    out.index = eye.u64();
    out.captured_at = MonoTime::from_nanos(eye.u64());
    eye.u64();
    out.stream_time = MonoTime::from_nanos(eye.u64());
    out.image_size = eye.vec2();
    out.from_frame = Eye { bytes: slot, at: FROM_FRAME }.u64() == 1;
    out.faces.resize_with(count, || TrackedFace { presence: Presence::Fading, face: Face::default() });
    for (i, face) in out.faces.iter_mut().enumerate() {
        decode_face(&mut Eye { bytes: slot, at: SLOT_HEAD_SIZE + i * FACE_SIZE }, face);
    }
}

fn decode_face(eye: &mut Eye<'_>, tracked: &mut TrackedFace) {
    let face = &mut tracked.face;
    face.id = eye.u32();
    tracked.presence = if eye.u32() == TRACKED { Presence::Tracked } else { Presence::Fading };
    face.presence = eye.f32();
    face.bounds = Rect { min: eye.vec2(), max: eye.vec2() };
    let rows = [eye.vec3(), eye.vec3(), eye.vec3()];
    face.head.rotation = Mat3::from_cols(rows[0], rows[1], rows[2]).transpose();
    face.head.translation_mm = eye.vec3();
    eye.vec3();
    face.gaze.left = eye.vec3();
    face.gaze.right = eye.vec3();
    for (_, v) in face.blendshapes.values_mut() {
        *v = eye.f32();
    }
    for p in face.landmarks.iter_mut() {
        *p = eye.vec3();
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{face, sample_of};
    use super::*;
    use crate::face::Blendshape;
    use crate::geom::Angles;

    fn sample() -> FaceSample {
        let mut a = face(Angles { yaw_rad: 0.1, pitch_rad: -0.2, roll_rad: 0.3 });
        for (i, p) in a.landmarks.iter_mut().enumerate() {
            *p = Vec3::new(i as f32, 0.5 * i as f32, -1.0);
        }
        a.blendshapes[Blendshape::TongueOut] = 0.75;
        let b = Face { id: 7, ..face(Angles::default()) };
        let mut sample = sample_of([a, b]);
        sample.index = 99;
        sample.faces[1].presence = Presence::Fading;
        sample
    }

    #[test]
    fn a_sample_survives_the_ring() {
        let geometry = Geometry { slot_count: 2, face_capacity: 2 };
        let mut slot = vec![0xAA; geometry.slot_size()];
        assert_eq!(encode_slot(&sample(), MonoTime::from_nanos(5), &mut slot), slot.len());
        let mut back = FaceSample::default();
        decode_slot(&slot, &mut back);
        assert_eq!(back, sample());
    }

    #[test]
    fn faces_beyond_the_capacity_are_told_by_number_only() {
        let geometry = Geometry { slot_count: 2, face_capacity: 1 };
        let mut slot = vec![0; geometry.slot_size()];
        encode_slot(&sample(), MonoTime::default(), &mut slot);
        let mut back = FaceSample::default();
        decode_slot(&slot, &mut back);
        assert_eq!((back.faces.len(), Eye { bytes: &slot, at: 52 }.u32()), (1, 2));
    }

    #[test]
    fn the_last_blendshape_and_landmark_stand_where_the_documentation_says() {
        let mut slot = vec![0; Geometry { slot_count: 2, face_capacity: 1 }.slot_size()];
        encode_slot(&sample(), MonoTime::default(), &mut slot);
        let at = |offset| Eye { bytes: &slot, at: SLOT_HEAD_SIZE + offset }.f32();
        assert!((at(112 + 4 * Blendshape::TongueOut as usize) - 0.75).abs() < 1e-6);
        assert!((at(320 + 12 * 477) - 477.0).abs() < 1e-6);
    }

    #[test]
    fn a_header_that_lies_about_sizes_is_refused() {
        let geometry = Geometry { slot_count: 8, face_capacity: 4 };
        let good = geometry.encode_header(1, 2);
        assert_eq!(Geometry::decode_header(&good, geometry.file_size()).unwrap(), geometry);
        assert!(Geometry::decode_header(&good, geometry.file_size() - 1).is_err());
        for offset in (8..40).step_by(4) {
            let mut bad = good;
            bad[offset + 3] ^= 0x40;
            assert!(Geometry::decode_header(&bad, geometry.file_size()).is_err(), "offset {offset}");
        }
    }
}
