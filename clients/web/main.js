// The page: a stream, a head, and the largest values as bars. `?daemon=ws://HOST:PORT` names another facetrackd.

import * as THREE from "three";
import { createHead } from "./head.js";
import { connect } from "./stream.js";

const daemon = new URLSearchParams(location.search).get("daemon") ?? "ws://127.0.0.1:9102";
const state = document.getElementById("state");
const values = document.getElementById("values");

const renderer = new THREE.WebGLRenderer({ antialias: true });
document.body.prepend(renderer.domElement);
const scene = new THREE.Scene();
scene.background = new THREE.Color(0x22262c);
scene.add(new THREE.HemisphereLight(0xffffff, 0x554433, 1.6));
const sun = new THREE.DirectionalLight(0xffffff, 2.2);
sun.position.set(250, 400, 500);
scene.add(sun);

const head = await createHead();
scene.add(head.object);

// The tracking camera's own view, a little wider than most lenses: the head is where it is in the camera's picture.
const camera = new THREE.PerspectiveCamera(40, 1, 10, 5000);

function resize() {
  renderer.setPixelRatio(devicePixelRatio);
  renderer.setSize(innerWidth, innerHeight);
  camera.aspect = innerWidth / innerHeight;
  camera.updateProjectionMatrix();
}
addEventListener("resize", resize);
resize();

function showValues(face) {
  const largest = Object.entries(face.blendshapes).filter(([, v]) => v >= 0.02).sort((a, b) => b[1] - a[1]).slice(0, 16);
  values.replaceChildren(...largest.flatMap(([name, value]) => {
    const bar = document.createElement("i");
    bar.style.width = `${Math.round(value * 80)}px`;
    return [name, bar, document.createElement("br")];
  }));
}

// What the head shows now, for whoever looks from outside.
const shown = { frames: 0, frame: null, head };
window.facetrackd = shown;

const stream = connect(daemon, (text) => (state.textContent = text));

renderer.setAnimationLoop(() => {
  const message = stream.take();
  if (message) {
    // One head: the first face measured, else the first that fades.
    const face = message.faces.find((f) => f.tracked) ?? message.faces[0];
    if (face) {
      head.show(face);
      showValues(face);
    }
    state.textContent = face ? `${daemon} · face ${face.id}` : `${daemon} · no face`;
    shown.frame = message.frame;
    shown.frames += 1;
  }
  renderer.render(scene, camera);
});
