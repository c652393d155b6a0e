//! Where MediaPipe's 478 landmarks lie on the head model.

use super::pack::VERTICES;
use crate::face::LANDMARK_COUNT;
use glam::Vec3;
use serde::Deserialize;

/// `models/landmarks478.json`; its card says how it was made.
const LANDMARKS: &str = include_str!("../../models/landmarks478.json");

/// Why the table of landmarks cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("models/landmarks478.json is damaged: {what}; restore it and build again")]
pub struct PlacesError {
    what: String,
}

#[derive(Deserialize)]
struct Table {
    triangle: Vec<[u32; 3]>,
    barycentric: Vec<[f32; 3]>,
}

/// A point of the head: vertices of a triangle, and their weights.
pub type Place = ([u32; 3], [f32; 3]);

/// A triangle of the head and weights of its corners for each landmark.
pub struct LandmarkPlaces {
    triangle: Vec<[u32; 3]>,
    weight: Vec<[f32; 3]>,
}

impl LandmarkPlaces {
    /// Reads the table that the program carries.
    ///
    /// # Errors
    /// Where it is not 478 places on the model.
    pub fn load() -> Result<Self, PlacesError> {
        let table: Table =
            serde_json::from_str(LANDMARKS).map_err(|e| PlacesError { what: e.to_string() })?;
        let fits = table.triangle.len() == LANDMARK_COUNT && table.barycentric.len() == LANDMARK_COUNT;
        let known = table.triangle.iter().flatten().all(|v| (*v as usize) < VERTICES);
        if fits && known {
            Ok(Self { triangle: table.triangle, weight: table.barycentric })
        } else {
            Err(PlacesError { what: format!("it must hold {LANDMARK_COUNT} places below vertex {VERTICES}") })
        }
    }

    /// The landmark on a mesh given as `[x y z]` for each vertex.
    pub fn on(&self, flat: &[f32], landmark: usize) -> Vec3 {
        point(flat, self.place(landmark))
    }

    /// Where the landmark lies.
    pub fn place(&self, landmark: usize) -> Place {
        (self.triangle[landmark], self.weight[landmark])
    }
}

/// A place on a mesh given as `[x y z]` for each vertex.
pub fn point(flat: &[f32], ([a, b, c], [u, v, w]): Place) -> Vec3 {
    let at = |v: u32| Vec3::from_slice(&flat[3 * v as usize..3 * v as usize + 3]);
    at(a) * u + at(b) * v + at(c) * w
}
