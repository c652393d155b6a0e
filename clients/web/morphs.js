// What each of ARKit's 52 coefficients does to a face, in millimetres at 1.
//
// Most are a few handles: landmarks that move by a vector and take their neighbourhood along, less the farther it is.
// Landmarks are MediaPipe's. Sides are the subject's: left is +x.

const CORNER = { left: 291, right: 61 };
const MOUTH_LINE = { upper: [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308], lower: [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308] };
const LIPS = { upper: [40, 39, 37, 0, 267, 269, 270, 81, 13, 311], lower: [91, 181, 84, 17, 314, 405, 321, 178, 14, 402] };
const LIDS = {
  right: { upper: [246, 161, 160, 159, 158, 157, 173], lower: [7, 163, 144, 145, 153, 154, 155] },
  left: { upper: [466, 388, 387, 386, 385, 384, 398], lower: [249, 390, 373, 374, 380, 381, 382] },
};
const BROWS = { right: { inner: [107, 55, 66], outer: [70, 63, 46, 53] }, left: { inner: [336, 285, 296], outer: [300, 293, 276, 283] } };
const CHEEK = { right: [205, 187, 50], left: [425, 411, 280] };
const CHEEKBONE = { right: [117, 118, 50], left: [346, 347, 280] };
const NOSTRIL = { right: [129, 98, 203], left: [358, 327, 423] };
const CHIN = [152, 199, 175];
const JAW_HINGE = [0, -25, -60];
const JAW_OPEN_RAD = 0.3;

const smooth = (from, to, x) => {
  const t = Math.min(Math.max((x - from) / (to - from), 0), 1);
  return t * t * (3 - 2 * t);
};

/** 1 below the line between the lips, 0 above it, between the two beside the mouth. */
export function isBelowMouth([x, y], points) {
  const line = (lip) => {
    const xs = lip.map((i) => points[i]);
    const k = xs.findIndex((p) => p[0] >= x);
    if (k <= 0) return (k < 0 ? xs.at(-1) : xs[0])[1];
    const t = (x - xs[k - 1][0]) / (xs[k][0] - xs[k - 1][0]);
    return xs[k - 1][1] * (1 - t) + xs[k][1] * t;
  };
  const middle = (line(MOUTH_LINE.upper) + line(MOUTH_LINE.lower)) / 2;
  const isBeside = Math.abs(x) >= Math.abs(points[78][0]);
  return isBeside ? 1 / (1 + Math.exp((y - middle) / 6)) : Number(y < middle);
}

const still = (vertices) => vertices.map(() => [0, 0, 0]);
const only = {
  upper: (v) => 1 - v.below,
  lower: (v) => v.below,
};

/** Handles: `[landmarks, [x, y, z], reach]`. `lip` keeps the movement to one side of the mouth's line. */
function pull(handles, lip) {
  return (vertices, points) => vertices.map((v) => {
    const sum = [0, 0, 0];
    let weights = 0;
    if (v.part !== "skin") return sum;
    for (const [landmarks, move, reach] of handles) {
      for (const [k, i] of landmarks.entries()) {
        const d2 = points[i].reduce((s, c, axis) => s + (c - v.p[axis]) ** 2, 0);
        const weight = Math.exp(-d2 / (2 * reach * reach));
        const by = Array.isArray(move[0]) ? move[k] : move;
        by.forEach((c, axis) => (sum[axis] += weight * c));
        weights += weight;
      }
    }
    // Where handles overlap the mean of their movements counts, not the sum.
    const share = (lip ? only[lip](v) : 1) / Math.max(weights, 1);
    return sum.map((c) => c * share);
  });
}

function both(...morphs) {
  return (vertices, points) => morphs.map((m) => m(vertices, points))
    .reduce((sum, moved) => sum.map((a, i) => a.map((c, axis) => c + moved[i][axis])), still(vertices));
}

/** How far a vertex goes with the lower jaw. */
const jaw = (v) => (v.part === "tongue" ? 0.8 : v.below * smooth(-85, -25, v.p[2]));

const jawMove = (move) => (vertices) => vertices.map((v) => move.map((c) => c * jaw(v)));

function jawOpen(vertices) {
  const [sin, cos] = [Math.sin(JAW_OPEN_RAD), Math.cos(JAW_OPEN_RAD)];
  return vertices.map((v) => {
    const [y, z] = [v.p[1] - JAW_HINGE[1], v.p[2] - JAW_HINGE[2]];
    const w = jaw(v);
    return [0, w * (y * cos - z * sin - y), w * (y * sin + z * cos - z)];
  });
}

/** Lids towards each other: the upper by this share of the gap, the lower by that. */
function shut(side, upperShare, lowerShare) {
  return (vertices, points) => {
    const { upper, lower } = LIDS[side];
    const gap = upper.map((u, k) => points[lower[k]].map((c, axis) => c - points[u][axis]));
    const scaled = (share) => gap.map((g) => g.map((c) => c * share));
    // Shut lids lie on the eyeball, which stands out between its corners.
    const outwards = scaled(upperShare).map((g, k) => [g[0], g[1], g[2] + 4.5 * upperShare * Math.sin((Math.PI * (k + 1)) / 8)]);
    return pull([[upper, outwards, 2.2], [lower, scaled(-lowerShare), 2.2]])(vertices, points);
  };
}

const sides = { Left: ["left", 1], Right: ["right", -1] };

/** The same for both sides: `make(side, s)`, s being 1 on the left, where outwards is +x. */
const pair = (stem, make) => Object.fromEntries(Object.entries(sides).map(([name, [side, s]]) => [stem + name, make(side, s)]));

const lid = (side, upper, lower) => pull([[LIDS[side].upper, upper, 2.5], [LIDS[side].lower, lower, 2.5]]);
const corner = (side, move) => pull([[[CORNER[side]], move, 13]]);
const mouth = [61, 291, 0, 17];
const half = (landmarks, side, points) => landmarks.filter((i) => points[i][0] * (side === "left" ? 1 : -1) > -1);
const halfLip = (lip, side, move) => (vertices, points) => pull([[half(LIPS[lip], side, points), move, 6]], lip)(vertices, points);

export const MORPHS = {
  ...pair("eyeBlink", (side) => shut(side, 0.92, 0.08)),
  ...pair("eyeLookDown", (side) => lid(side, [0, -2.5, 0], [0, -1, 0])),
  ...pair("eyeLookIn", (side, s) => lid(side, [-s, 0, 0], [-s, 0, 0])),
  ...pair("eyeLookOut", (side, s) => lid(side, [s, 0, 0], [s, 0, 0])),
  ...pair("eyeLookUp", (side) => lid(side, [0, 1.5, 0], [0, 0.7, 0])),
  ...pair("eyeSquint", (side) => both(shut(side, 0.1, 0.3), pull([[CHEEKBONE[side], [0, 2, 1], 8]]))),
  ...pair("eyeWide", (side) => lid(side, [0, 2.8, -0.5], [0, -0.8, 0])),
  jawForward: jawMove([0, 0, 7]),
  jawLeft: jawMove([8, 0, 0]),
  jawRight: jawMove([-8, 0, 0]),
  jawOpen,
  // Brings the lips together while the jaw is open; the corner of a shut mouth hardly sees it.
  mouthClose: both(pull([[LIPS.lower, [0, 16, 3], 6]], "lower"), pull([[LIPS.upper, [0, -5, 0], 6]], "upper")),
  mouthFunnel: both(
    pull([[LIPS.upper, [0, 4, 6], 6]], "upper"), pull([[LIPS.lower, [0, -5, 6], 6]], "lower"),
    corner("left", [-7, 0, 3]), corner("right", [7, 0, 3]),
  ),
  mouthPucker: both(pull([[[0, 17, 13, 14], [0, 0, 7], 9]]), corner("left", [-11, 0, 5]), corner("right", [11, 0, 5])),
  mouthLeft: pull([[mouth, [9, 0, -1], 13]]),
  mouthRight: pull([[mouth, [-9, 0, -1], 13]]),
  ...pair("mouthSmile", (side, s) => both(corner(side, [7 * s, 9, -3]), pull([[CHEEK[side], [2 * s, 3, 2], 9]]))),
  ...pair("mouthFrown", (side, s) => corner(side, [1 * s, -8, -1])),
  ...pair("mouthDimple", (side, s) => corner(side, [4 * s, 1, -5])),
  ...pair("mouthStretch", (side, s) => corner(side, [8 * s, -3, -3])),
  mouthRollLower: pull([[LIPS.lower, [0, 3, -5], 4]], "lower"),
  mouthRollUpper: pull([[LIPS.upper, [0, -3, -5], 4]], "upper"),
  mouthShrugLower: pull([[LIPS.lower, [0, 4, 3], 7], [CHIN, [0, 4, 2], 9]], "lower"),
  mouthShrugUpper: pull([[LIPS.upper, [0, 4, 2], 7]], "upper"),
  ...pair("mouthPress", (side) => both(halfLip("upper", side, [0, -1, -2]), halfLip("lower", side, [0, 2, -2]))),
  ...pair("mouthLowerDown", (side) => halfLip("lower", side, [0, -7, 0])),
  ...pair("mouthUpperUp", (side) => halfLip("upper", side, [0, 7, 0])),
  ...pair("browDown", (side, s) => pull([[BROWS[side].inner, [-2 * s, -6, 1], 7], [BROWS[side].outer, [0, -4, 0], 7]])),
  browInnerUp: pull([[BROWS.left.inner, [0, 8, 0], 7], [BROWS.right.inner, [0, 8, 0], 7]]),
  ...pair("browOuterUp", (side) => pull([[BROWS[side].outer, [0, 8, 0], 8]])),
  cheekPuff: pull([[CHEEK.left, [9, 0, 7], 12], [CHEEK.right, [-9, 0, 7], 12]]),
  ...pair("cheekSquint", (side) => pull([[CHEEKBONE[side], [0, 5, 2], 9]])),
  ...pair("noseSneer", (side, s) => pull([[NOSTRIL[side], [2 * s, 5, 0], 6]])),
  tongueOut: (vertices) => vertices.map((v) => (v.part === "tongue" ? [0, -3, 32 * smooth(-24, 16, v.p[2])] : [0, 0, 0])),
};
