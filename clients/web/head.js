// A head with ARKit's 52 morph targets: the canonical face, a skull behind it, eyeballs and a tongue.
//
// Head space, millimetres: origin midway between the eyes' outer corners, x to the subject's left, y up, z out of the face.

import * as THREE from "three";
import { MORPHS, isBelowMouth } from "./morphs.js";

const SKIN = new THREE.Color(0xd9a58a);
const LIPS = new THREE.Color(0xb5645c);
const HAIR = new THREE.Color(0x3b2f2b);
const TONGUE = new THREE.Color(0xc4606a);
const SKULL_RINGS = 8;
const BACK_OF_HEAD = new THREE.Vector3(0, 25, -150);
const EYE = { x: 31.9, y: 1.4, z: -3.2, radius: 11.2 };
// Landmarks of the red of the lips.
const LIP_LANDMARKS = new Set([
  61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146, 76, 184, 74, 73, 72, 11, 302,
  303, 304, 408, 306, 307, 320, 404, 315, 16, 85, 180, 90, 77, 62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292, 325, 319,
  403, 316, 15, 86, 179, 89, 96, 78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 95, 88, 178, 87, 14, 317, 402, 318, 324,
]);

/** Loads the face and builds the head. `show(face)` moves it as a face of facetrackd's stream says. */
export async function createHead() {
  const data = await (await fetch(new URL("./face.json", import.meta.url))).json();
  const geometry = buildGeometry(data);
  const material = new THREE.MeshStandardMaterial({ vertexColors: true, roughness: 0.75, side: THREE.DoubleSide });
  const mesh = new THREE.Mesh(geometry, material);
  // Morphs reach beyond the resting face's bounds.
  mesh.frustumCulled = false;

  const object = new THREE.Group();
  object.matrixAutoUpdate = false;
  const eyes = { left: eyeball(1), right: eyeball(-1) };
  object.add(mesh, mouthCave(), eyes.left, eyes.right);
  place(object, { rotation: [[1, 0, 0], [0, -1, 0], [0, 0, -1]], translation_mm: [0, 0, 600] });

  return {
    object,
    mesh,
    eyes,
    show(face) {
      for (const [name, value] of Object.entries(face.blendshapes)) {
        mesh.morphTargetInfluences[mesh.morphTargetDictionary[name]] = value;
      }
      place(object, face.head);
      for (const [side, eye] of Object.entries(eyes)) look(eye, face.gaze[side], face.head.rotation);
    },
  };
}

/** Puts the head where the camera has it. Camera space is y down, z forward; three's view is y up, z backward. */
function place(object, head) {
  const [r, t] = [head.rotation, head.translation_mm];
  object.matrix.set(
    r[0][0], r[0][1], r[0][2], t[0],
    -r[1][0], -r[1][1], -r[1][2], -t[1],
    -r[2][0], -r[2][1], -r[2][2], -t[2],
    0, 0, 0, 1,
  );
  object.matrixWorldNeedsUpdate = true;
}

const AHEAD = new THREE.Vector3(0, 0, 1);

/** Turns an eyeball to a direction given in camera space; `rotation` is camera_from_head by rows. */
function look(eye, gaze, rotation) {
  const inHead = [0, 1, 2].map((k) => rotation[0][k] * gaze[0] + rotation[1][k] * gaze[1] + rotation[2][k] * gaze[2]);
  eye.quaternion.setFromUnitVectors(AHEAD, new THREE.Vector3(...inHead).normalize());
}

function eyeball(side) {
  const group = new THREE.Group();
  group.position.set(side * EYE.x, EYE.y, EYE.z);
  const cap = (color, radius, angle) => {
    const geometry = new THREE.SphereGeometry(radius, 32, 24, 0, 2 * Math.PI, 0, angle).rotateX(Math.PI / 2);
    return new THREE.Mesh(geometry, new THREE.MeshStandardMaterial({ color, roughness: 0.25 }));
  };
  group.add(cap(0xf4f1ec, EYE.radius, Math.PI), cap(0x4f7a8c, EYE.radius + 0.15, 0.5), cap(0x111111, EYE.radius + 0.3, 0.22));
  return group;
}

/** What is seen behind open lips. */
function mouthCave() {
  const cave = new THREE.Mesh(new THREE.SphereGeometry(1, 24, 16), new THREE.MeshBasicMaterial({ color: 0x2a0f10 }));
  cave.scale.set(25, 24, 16);
  cave.position.set(0, -82, -6);
  return cave;
}

/** Face, skull and tongue as one mesh: vertices, colours, triangles. */
function buildMesh(data) {
  const points = data.points.map((p) => new THREE.Vector3(...p));
  const colors = points.map((_, i) => (LIP_LANDMARKS.has(i) ? LIPS : SKIN));
  const parts = points.map(() => "skin");
  const triangles = data.triangles.map((t) => [...t]);
  const add = (point, color, part) => (points.push(point), colors.push(color), parts.push(part), points.length - 1);

  const outline = faceOutline(data.triangles, data.points);
  let ring = outline;
  for (let k = 1; k <= SKULL_RINGS; k += 1) {
    const t = k / SKULL_RINGS;
    const next = outline.map((i) => {
      const from = points[i];
      // A curve from the face's edge over the skull to the back of the head.
      const over = new THREE.Vector3(from.x * 1.35, from.y > 0 ? from.y * 1.7 + 45 : from.y * 1.2 + 45, -90);
      const p = new THREE.Vector3()
        .addScaledVector(from, (1 - t) ** 2).addScaledVector(over, 2 * t * (1 - t)).addScaledVector(BACK_OF_HEAD, t * t);
      return add(p, from.y > -30 || t > 0.5 ? HAIR : SKIN, "skin");
    });
    ring.forEach((a, i) => {
      const j = (i + 1) % ring.length;
      triangles.push([a, next[i], ring[j]], [ring[j], next[i], next[j]]);
    });
    ring = next;
  }
  addTongue(add, triangles);
  return { points, colors, parts, triangles };
}

function addTongue(add, triangles) {
  const sphere = new THREE.SphereGeometry(1, 16, 12);
  const position = sphere.getAttribute("position");
  const index = [];
  for (let i = 0; i < position.count; i += 1) {
    const p = new THREE.Vector3().fromBufferAttribute(position, i).multiply(new THREE.Vector3(13, 4, 20));
    index.push(add(p.add(new THREE.Vector3(0, -76, -4)), TONGUE, "tongue"));
  }
  const corners = sphere.index.array;
  for (let i = 0; i < corners.length; i += 3) triangles.push([0, 1, 2].map((k) => index[corners[i + k]]));
}

/** The face's edge in order, counter-clockwise from in front: the longest loop of edges with one triangle. */
function faceOutline(triangles, points) {
  const next = new Map();
  const edges = new Set(triangles.flatMap(([a, b, c]) => [`${a} ${b}`, `${b} ${c}`, `${c} ${a}`]));
  for (const edge of edges) {
    const [a, b] = edge.split(" ").map(Number);
    if (!edges.has(`${b} ${a}`)) next.set(a, b);
  }
  const highest = [...next.keys()].reduce((best, i) => (points[i][1] > points[best][1] ? i : best));
  const loop = [highest];
  while (next.get(loop.at(-1)) !== highest) loop.push(next.get(loop.at(-1)));
  return loop;
}

function buildGeometry(data) {
  const { points, colors, parts, triangles } = buildMesh(data);
  const geometry = new THREE.BufferGeometry();
  geometry.setIndex(triangles.flat());
  geometry.setAttribute("position", new THREE.Float32BufferAttribute(points.flatMap((p) => p.toArray()), 3));
  geometry.setAttribute("color", new THREE.Float32BufferAttribute(colors.flatMap((c) => c.toArray()), 3));
  geometry.computeVertexNormals();
  const rest = geometry.getAttribute("normal").clone();

  const vertices = points.map((p, i) => ({ p: p.toArray(), part: parts[i], below: isBelowMouth(p.toArray(), data.points) }));
  geometry.morphTargetsRelative = true;
  geometry.morphAttributes = { position: [], normal: [] };
  for (const [name, morph] of Object.entries(MORPHS)) {
    const moved = morph(vertices, data.points);
    const position = new THREE.Float32BufferAttribute(moved.flat(), 3);
    position.name = name;
    geometry.morphAttributes.position.push(position);
    geometry.morphAttributes.normal.push(normalChange(geometry, moved, rest));
  }
  return geometry;
}

/** How a morph turns the normals, so that light follows the skin. */
function normalChange(geometry, moved, rest) {
  const shape = new THREE.BufferGeometry();
  shape.setIndex(geometry.index);
  const at = geometry.getAttribute("position").array;
  shape.setAttribute("position", new THREE.Float32BufferAttribute(at.map((v, i) => v + moved[Math.floor(i / 3)][i % 3]), 3));
  shape.computeVertexNormals();
  const normal = shape.getAttribute("normal").array;
  return new THREE.Float32BufferAttribute(normal.map((v, i) => v - rest.array[i]), 3);
}
