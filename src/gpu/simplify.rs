//! Fewer triangles for the same look. A head in a picture of a few hundred pixels has triangles of two pixels, and a device
//! shades whole blocks of pixels for each of them.
//!
//! Vertices are merged into a neighbour along an edge, cheapest first, by Garland and Heckbert's quadrics ("Surface
//! Simplification Using Quadric Error Metrics", 1997). What is left is a part of the old vertices, so blended shapes, texture
//! coordinates and masks stay theirs.

use glam::{DMat3, DVec3, Vec3};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

/// A mesh in several shapes at once: what is flat at rest may fold when the face moves.
pub struct Mesh<'a> {
    /// Positions, shape by shape.
    pub shapes: &'a [Vec<Vec3>],
    /// Values that triangles blend (masks, occlusion), each times the length that a change of one is worth.
    pub values: &'a [Vec<f32>],
    /// Triangles.
    pub triangles: &'a [[u32; 3]],
    /// Largest distance that the surface may move at a vertex, in the shapes' unit; zero keeps the vertex.
    pub tolerance: &'a [f32],
}

/// Sum of squared distances to planes, weighted by area.
#[derive(Clone, Copy)]
struct Quadric {
    a: DMat3,
    b: DVec3,
    c: f64,
    area: f64,
}

impl Quadric {
    const ZERO: Self = Self { a: DMat3::ZERO, b: DVec3::ZERO, c: 0.0, area: 0.0 };

    fn of([p, q, r]: [Vec3; 3]) -> Self {
        let (p, q, r) = (p.as_dvec3(), q.as_dvec3(), r.as_dvec3());
        let cross = (q - p).cross(r - p);
        let (n, area) = (cross.normalize_or_zero(), 0.5 * cross.length());
        let d = -n.dot(p);
        Self {
            a: DMat3::from_cols(n * n.x, n * n.y, n * n.z) * area,
            b: n * (d * area),
            c: d * d * area,
            area,
        }
    }

    fn add(&mut self, o: &Self) {
        self.a += o.a;
        self.b += o.b;
        self.c += o.c;
        self.area += o.area;
    }

    /// Root of the mean squared distance.
    fn distance(&self, p: Vec3) -> f64 {
        let p = p.as_dvec3();
        let sum = p.dot(self.a * p) + 2.0 * self.b.dot(p) + self.c;
        (sum.max(0.0) / self.area.max(1e-12)).sqrt()
    }
}

/// A vertex to be merged into its neighbour; ordered so that the heap gives the cheapest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Merge {
    cost: std::cmp::Reverse<u64>,
    from: u32,
    into: u32,
    version: u32,
}

struct State<'a> {
    mesh: &'a Mesh<'a>,
    triangles: Vec<Option<[u32; 3]>>,
    /// Triangles around each vertex.
    around: Vec<BTreeSet<usize>>,
    quadrics: Vec<Vec<Quadric>>,
    versions: Vec<u32>,
    locked: Vec<bool>,
}

/// The triangles that are left when no vertex can go without moving the surface by more than its tolerance.
pub fn simplified(mesh: &Mesh<'_>) -> Vec<[u32; 3]> {
    let mut state = State::new(mesh);
    let mut heap = BinaryHeap::new();
    for v in 0..mesh.tolerance.len() as u32 {
        state.offer(v, &mut heap);
    }
    while let Some(merge) = heap.pop() {
        if state.versions[merge.from as usize] != merge.version {
            continue;
        }
        let changed = state.merge(merge.from, merge.into);
        for v in changed {
            state.offer(v, &mut heap);
        }
    }
    state.triangles.into_iter().flatten().collect()
}

impl<'a> State<'a> {
    fn new(mesh: &'a Mesh<'a>) -> Self {
        let count = mesh.tolerance.len();
        let mut around = vec![BTreeSet::new(); count];
        let mut quadrics = vec![vec![Quadric::ZERO; mesh.shapes.len()]; count];
        let mut uses: HashMap<(u32, u32), u32> = HashMap::new();
        for (t, tri) in mesh.triangles.iter().enumerate() {
            for (k, v) in tri.iter().enumerate() {
                around[*v as usize].insert(t);
                let w = tri[(k + 1) % 3];
                *uses.entry((*v.min(&w), *v.max(&w))).or_default() += 1;
                for (quadric, shape) in quadrics[*v as usize].iter_mut().zip(mesh.shapes) {
                    quadric.add(&Quadric::of(tri.map(|v| shape[v as usize])));
                }
            }
        }
        // Borders and texture seams keep their vertices, else gaps would open.
        let mut locked: Vec<bool> = mesh.tolerance.iter().map(|t| *t <= 0.0).collect();
        for ((a, b), n) in uses {
            if n != 2 {
                (locked[a as usize], locked[b as usize]) = (true, true);
            }
        }
        let triangles = mesh.triangles.iter().copied().map(Some).collect();
        Self { mesh, triangles, around, quadrics, versions: vec![0; count], locked }
    }

    /// Puts the cheapest allowed merge of a vertex on the heap.
    fn offer(&mut self, v: u32, heap: &mut BinaryHeap<Merge>) {
        self.versions[v as usize] += 1;
        if self.locked[v as usize] || self.around[v as usize].is_empty() {
            return;
        }
        let ring = self.ring(v);
        let blend = self.blend_cost(v, &ring);
        let limit = f64::from(self.mesh.tolerance[v as usize]);
        let costs = ring.iter().map(|into| (self.cost(v, *into).max(blend), *into));
        let mut costs: Vec<_> = costs.filter(|(cost, _)| *cost <= limit).collect();
        costs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        if let Some((cost, into)) = costs.into_iter().find(|(_, into)| self.keeps_its_shape(v, *into)) {
            // Costs are not negative: their bits are in order.
            let cost = std::cmp::Reverse((cost / limit).to_bits());
            heap.push(Merge { cost, from: v, into, version: self.versions[v as usize] });
        }
    }

    fn ring(&self, v: u32) -> BTreeSet<u32> {
        let corners = self.around[v as usize].iter().filter_map(|t| self.triangles[*t]).flatten();
        corners.filter(|w| *w != v).collect()
    }

    fn cost(&self, from: u32, into: u32) -> f64 {
        let each = self.quadrics[from as usize].iter().zip(self.mesh.shapes);
        each.map(|(quadric, shape)| quadric.distance(shape[into as usize])).fold(0.0, f64::max)
    }

    /// How far a vertex' values stand out from its neighbours'.
    fn blend_cost(&self, v: u32, ring: &BTreeSet<u32>) -> f64 {
        let differs = |values: &Vec<f32>| {
            let mean = ring.iter().map(|w| values[*w as usize]).sum::<f32>() / ring.len().max(1) as f32;
            f64::from((values[v as usize] - mean).abs())
        };
        self.mesh.values.iter().map(differs).fold(0.0, f64::max)
    }

    /// Whether no triangle turns over or becomes a sliver, in any shape, and the surface stays a surface.
    fn keeps_its_shape(&self, from: u32, into: u32) -> bool {
        let shared = self.ring(from).intersection(&self.ring(into)).count();
        if shared != 2 {
            return false;
        }
        let stay = self.around[from as usize].iter().filter_map(|t| self.triangles[*t]);
        stay.filter(|t| !t.contains(&into)).all(|t| {
            self.mesh.shapes.iter().all(|shape| {
                let old = t.map(|v| shape[v as usize]);
                let new = t.map(|v| shape[if v == from { into } else { v } as usize]);
                let cross = |[p, q, r]: [Vec3; 3]| (q - p).cross(r - p);
                let (n_old, n_new) = (cross(old), cross(new));
                let longest = [new[1] - new[0], new[2] - new[1], new[0] - new[2]]
                    .iter()
                    .map(|e| e.length_squared())
                    .fold(0.0, f32::max);
                n_new.dot(n_old) > 0.5 * n_new.length() * n_old.length() && n_new.length() > 0.12 * longest
            })
        })
    }

    /// Merges and returns the vertices whose surroundings changed.
    fn merge(&mut self, from: u32, into: u32) -> BTreeSet<u32> {
        let gone = std::mem::take(&mut self.around[from as usize]);
        for t in gone {
            let Some(mut tri) = self.triangles[t].take() else { continue };
            if tri.contains(&into) {
                for v in tri {
                    self.around[v as usize].remove(&t);
                }
            } else {
                for v in &mut tri {
                    if *v == from {
                        *v = into;
                    }
                }
                self.triangles[t] = Some(tri);
                self.around[into as usize].insert(t);
            }
        }
        let moved = std::mem::take(&mut self.quadrics[from as usize]);
        for (quadric, add) in self.quadrics[into as usize].iter_mut().zip(&moved) {
            quadric.add(add);
        }
        self.versions[from as usize] += 1;
        let mut changed = self.ring(into);
        changed.insert(into);
        changed
    }
}

/// Numbers the vertices that triangles use, in order of their first use: the new triangles, and the old number of each.
pub fn compacted(triangles: &[[u32; 3]]) -> (Vec<[u32; 3]>, Vec<u32>) {
    let mut number: BTreeMap<u32, u32> = BTreeMap::new();
    let mut old = Vec::new();
    let renumbered = triangles.iter().map(|t| {
        t.map(|v| {
            *number.entry(v).or_insert_with(|| {
                old.push(v);
                old.len() as u32 - 1
            })
        })
    });
    (renumbered.collect(), old)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: u32 = 12;

    fn sheet(height: impl Fn(f32, f32) -> f32) -> (Vec<Vec3>, Vec<[u32; 3]>) {
        let point = |i: u32| {
            let (x, y) = ((i % SIDE) as f32, (i / SIDE) as f32);
            Vec3::new(x, y, height(x, y))
        };
        let mut triangles = Vec::new();
        for y in 0..SIDE - 1 {
            for x in 0..SIDE - 1 {
                let a = y * SIDE + x;
                triangles.push([a, a + 1, a + SIDE]);
                triangles.push([a + 1, a + SIDE + 1, a + SIDE]);
            }
        }
        ((0..SIDE * SIDE).map(point).collect(), triangles)
    }

    fn run(shapes: &[Vec<Vec3>], triangles: &[[u32; 3]], values: &[Vec<f32>]) -> Vec<[u32; 3]> {
        let tolerance = vec![0.1; (SIDE * SIDE) as usize];
        simplified(&Mesh { shapes, values, triangles, tolerance: &tolerance })
    }

    fn area(points: &[Vec3], triangles: &[[u32; 3]]) -> f32 {
        let one = |t: &[u32; 3]| {
            let [a, b, c] = t.map(|v| points[v as usize]);
            (b - a).cross(c - a).length() * 0.5
        };
        triangles.iter().map(one).sum()
    }

    #[test]
    fn a_flat_sheet_loses_its_inside_and_keeps_its_area() {
        let (points, triangles) = sheet(|_, _| 0.0);
        let fewer = run(std::slice::from_ref(&points), &triangles, &[]);
        assert!(fewer.len() < triangles.len() / 3, "{} of {}", fewer.len(), triangles.len());
        assert!((area(&points, &fewer) - area(&points, &triangles)).abs() < 1e-3);
    }

    #[test]
    fn a_fold_stays_even_if_only_one_shape_has_it() {
        let fold = |x: f32, _: f32| if (x - 6.0).abs() < 0.5 { 2.0 } else { 0.0 };
        let ((flat, triangles), (folded, _)) = (sheet(|_, _| 0.0), sheet(fold));
        let fewer = run(&[flat, folded], &triangles, &[]);
        let on_the_fold = |v: &&u32| **v % SIDE == 6;
        let left: BTreeSet<u32> = fewer.iter().flatten().filter(on_the_fold).copied().collect();
        assert!(left.len() >= 3);
        let ridge_is_an_edge = fewer.iter().all(|t| {
            let columns = t.map(|v| v % SIDE);
            !(columns.iter().any(|c| *c < 6) && columns.iter().any(|c| *c > 6))
        });
        assert!(ridge_is_an_edge, "no triangle may span the fold");
    }

    #[test]
    fn a_spot_of_paint_keeps_its_vertex() {
        let (points, triangles) = sheet(|_, _| 0.0);
        let spot = 5 * SIDE + 5;
        let mut paint = vec![0.0; points.len()];
        paint[spot as usize] = 1.0;
        let fewer = run(&[points], &triangles, &[paint]);
        assert!(fewer.iter().flatten().any(|v| *v == spot));
    }
}
