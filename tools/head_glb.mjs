// Makes models/head.glb, the head of glTF recordings: `node tools/head_glb.mjs`, from the repository's root.
// The face and its 52 morphs are the web client's (clients/web); a tongue and two eyeballs are put in.

import { readFileSync, writeFileSync } from "node:fs";
import { MORPHS, isBelowMouth } from "../clients/web/morphs.js";

const METRES = 0.001;
// What moves by less than this many millimetres at 1 is still.
const LEAST_MOVE = 0.05;
const EYE = { x: 31.9, y: 1.4, z: -3.2, radius: 11.2 };
const TONGUE = { centre: [0, -76, -4], radii: [13, 4, 20] };

const face = JSON.parse(readFileSync("clients/web/face.json"));
const header = readFileSync("clients/c/facetrackd_shm.h", "utf8");
// ARKit's order, as every part of the project has it.
const names = [...header.match(/names\[FACETRACKD_BLENDSHAPES\] = \{([^}]*)\}/)[1].matchAll(/"(\w+)"/g)].map((m) => m[1]);

function sphere(rings, sectors, radii, centre) {
  const at = (up, around) => [Math.sin(up) * Math.cos(around), Math.cos(up), Math.sin(up) * Math.sin(around)];
  const points = [], triangles = [];
  for (let i = 0; i <= rings; i += 1) {
    for (let k = 0; k < sectors; k += 1) {
      points.push(at((Math.PI * i) / rings, (2 * Math.PI * k) / sectors).map((c, axis) => c * radii[axis] + centre[axis]));
      const [a, b] = [i * sectors + k, i * sectors + ((k + 1) % sectors)];
      if (i > 0 && i < rings) triangles.push([a, b, a - sectors]);
      if (i < rings && i > 0) triangles.push([b, b - sectors, a - sectors]);
      if (i === rings) triangles.push([a, b - sectors, a - sectors]);
    }
  }
  // At the poles a side has no length.
  const same = (a, b) => points[a].every((c, axis) => Math.abs(c - points[b][axis]) < 1e-9);
  const kept = triangles.filter(([a, b, c]) => !same(a, b) && !same(b, c) && !same(a, c));
  return { points, triangles: kept.map(([a, b, c]) => [a, c, b]) };
}

const minus = (a, b) => a.map((c, i) => c - b[i]);
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

function normals(points, triangles) {
  const sum = points.map(() => [0, 0, 0]);
  for (const [a, b, c] of triangles) {
    const n = cross(minus(points[b], points[a]), minus(points[c], points[a]));
    for (const i of [a, b, c]) sum[i] = sum[i].map((v, axis) => v + n[axis]);
  }
  return sum.map((n) => (Math.hypot(...n) > 0 ? n.map((v) => v / Math.hypot(...n)) : [0, 0, 1]));
}

const gltf = {
  asset: { version: "2.0", generator: "facetrackd" },
  scene: 0,
  scenes: [{ name: "Take", nodes: [0] }],
  nodes: [
    { name: "Head", mesh: 0, children: [1, 2] },
    { name: "LeftEye", mesh: 1, translation: [EYE.x, EYE.y, EYE.z].map((v) => v * METRES) },
    { name: "RightEye", mesh: 1, translation: [-EYE.x, EYE.y, EYE.z].map((v) => v * METRES) },
  ],
  materials: [
    { name: "Skin", doubleSided: true, pbrMetallicRoughness: { baseColorFactor: [0.69, 0.38, 0.25, 1], metallicFactor: 0, roughnessFactor: 0.75 } },
    { name: "Eye", pbrMetallicRoughness: { baseColorFactor: [0.9, 0.89, 0.85, 1], metallicFactor: 0, roughnessFactor: 0.25 } },
    { name: "Iris", pbrMetallicRoughness: { baseColorFactor: [0.05, 0.13, 0.18, 1], metallicFactor: 0, roughnessFactor: 0.25 } },
  ],
  meshes: [], accessors: [], bufferViews: [], buffers: [{ byteLength: 0 }],
};
const binary = [];

function view(typed, target) {
  const bytes = Buffer.from(typed.buffer, typed.byteOffset, typed.byteLength);
  const padded = Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  gltf.bufferViews.push({ buffer: 0, byteOffset: gltf.buffers[0].byteLength, byteLength: bytes.length, ...(target && { target }) });
  gltf.buffers[0].byteLength += padded.length;
  binary.push(padded);
  return gltf.bufferViews.length - 1;
}

function bounds(vectors) {
  const axis = (f) => [0, 1, 2].map((i) => vectors.reduce((m, v) => f(m, v[i]), vectors[0][i]));
  return { min: axis(Math.min), max: axis(Math.max) };
}

// Bounds must be those of the 32-bit numbers in the file.
const inMetres = (vectors) => vectors.map((v) => v.map((c) => Math.fround(c * METRES)));
const accessor = (a) => gltf.accessors.push(a) - 1;
const vec3 = (vectors) => ({ componentType: 5126, count: vectors.length, type: "VEC3", ...bounds(vectors) });

const indices = (triangles) => {
  const flat = Uint16Array.from(triangles.flat());
  return accessor({ bufferView: view(flat, 34963), componentType: 5123, count: flat.length, type: "SCALAR" });
};

function attributes(points, triangles) {
  const [at, turned] = [inMetres(points), normals(points, triangles).map((n) => n.map(Math.fround))];
  return {
    POSITION: accessor({ bufferView: view(Float32Array.from(at.flat()), 34962), ...vec3(at) }),
    NORMAL: accessor({ bufferView: view(Float32Array.from(turned.flat()), 34962), ...vec3(turned) }),
  };
}

/** A morph target: only what moves is in the file. */
function target(moved) {
  const moving = moved.flatMap((v, i) => (Math.hypot(...v) >= LEAST_MOVE ? [i] : []));
  const moves = inMetres(moving.map((i) => moved[i]));
  const all = moving.length < moved.length ? [...moves, [0, 0, 0]] : moves;
  return accessor({
    ...vec3(all), count: moved.length,
    sparse: {
      count: moving.length,
      indices: { bufferView: view(Uint16Array.from(moving)), componentType: 5123 },
      values: { bufferView: view(Float32Array.from(moves.flat())) },
    },
  });
}

const tongue = sphere(8, 12, TONGUE.radii, TONGUE.centre);
const points = [...face.points, ...tongue.points];
const triangles = [...face.triangles, ...tongue.triangles.map((t) => t.map((i) => i + face.points.length))];
const vertices = points.map((p, i) => ({ p, part: i < face.points.length ? "skin" : "tongue", below: isBelowMouth(p, face.points) }));
gltf.meshes.push({
  name: "Head",
  primitives: [{
    attributes: attributes(points, triangles), indices: indices(triangles), material: 0,
    targets: names.map((name) => ({ POSITION: target(MORPHS[name](vertices, face.points)) })),
  }],
  weights: names.map(() => 0),
  extras: { targetNames: names },
});

const eye = sphere(12, 16, [EYE.radius, EYE.radius, EYE.radius], [0, 0, 0]);
const isIris = (t) => t.every((i) => eye.points[i][2] > 0.86 * EYE.radius);
const eyeAttributes = attributes(eye.points, eye.triangles);
gltf.meshes.push({
  name: "Eye",
  primitives: [[1, (t) => !isIris(t)], [2, isIris]].map(([material, keep]) => ({
    attributes: eyeAttributes, indices: indices(eye.triangles.filter(keep)), material,
  })),
});

const chunk = (type, bytes, filler) => {
  const padded = Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4, filler)]);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(padded.length, 0);
  head.write(type, 4, "latin1");
  return Buffer.concat([head, padded]);
};
const body = Buffer.concat([chunk("JSON", Buffer.from(JSON.stringify(gltf)), " "), chunk("BIN\0", Buffer.concat(binary), 0)]);
const head = Buffer.alloc(12);
head.write("glTF", 0, "latin1");
head.writeUInt32LE(2, 4);
head.writeUInt32LE(12 + body.length, 8);
writeFileSync("models/head.glb", Buffer.concat([head, body]));
console.log(`models/head.glb: ${12 + body.length} bytes, ${points.length} vertices, ${triangles.length} triangles`);
