"""Points on the surface of the head model: closest point, place by texture coordinate, positions of attached points."""

import json

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree


def closest_on_triangles(points, corners):
    """Barycentrics (n, 3) of the closest point on each triangle (n, 3, 3) to each point (n, 3)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    candidates = [_inside(points, a, b, c)]
    for i, j in ((0, 1), (1, 2), (2, 0)):
        p, q = corners[:, i], corners[:, j]
        t = ((points - p) * (q - p)).sum(1) / np.maximum(((q - p) ** 2).sum(1), 1e-18)
        weights = np.zeros((len(points), 3))
        t = np.clip(t, 0, 1)
        weights[:, i], weights[:, j] = 1 - t, t
        candidates.append(weights)
    candidates = np.array(candidates)
    where = np.einsum("knc,ncd->knd", candidates, corners)
    distance = np.linalg.norm(where - points, axis=2)
    distance[0][(candidates[0] < 0).any(1)] = np.inf
    return candidates[distance.argmin(0), np.arange(len(points))]


def _inside(points, a, b, c):
    """Barycentrics of the foot on the triangle's plane; negative where it falls outside."""
    u, v, w = b - a, c - a, points - a
    uu, uv, vv, wu, wv = ((p * q).sum(1) for p, q in ((u, u), (u, v), (v, v), (w, u), (w, v)))
    d = np.maximum(uu * vv - uv * uv, 1e-18)
    s, t = (wu * vv - wv * uv) / d, (wv * uu - wu * uv) / d
    return np.stack([1 - s - t, s, t], 1)


def attach(points, vertices, triangles):
    """For each point the closest point of these triangles: vertex indices (n, 3), barycentrics (n, 3)."""
    corners = vertices[triangles]
    _, near = cKDTree(corners.mean(1)).query(points, 48)
    out_index, out_weights = np.zeros((len(points), 3), int), np.zeros((len(points), 3))
    for i, (point, ids) in enumerate(zip(points, near)):
        weights = closest_on_triangles(np.repeat(point[None], len(ids), 0), corners[ids])
        distance = np.linalg.norm((weights[:, :, None] * corners[ids]).sum(1) - point, axis=1)
        k = distance.argmin()
        out_index[i], out_weights[i] = triangles[ids[k]], weights[k]
    return out_index, out_weights


def at_texture(pack, part, uv):
    """The point of a part with this texture coordinate: vertex indices (3), barycentrics (3)."""
    mask = pack.of_parts([part])
    flat = np.concatenate([pack.uv, np.zeros((len(pack.uv), 1))], 1)[pack.triangles_uv[mask]]
    target = np.repeat(np.array([[*uv, 0.0]]), len(flat), 0)
    weights = closest_on_triangles(target, flat)
    k = np.linalg.norm((weights[:, :, None] * flat).sum(1) - target, axis=1).argmin()
    return pack.triangles[mask][k], weights[k]


def positions(vertices, index, weights):
    """Attached points on a mesh (..., vertices, 3): (..., n, 3)."""
    return (vertices[..., index, :] * weights[:, :, None]).sum(-2)


def rings(pack, inside, count):
    """The `count` closed rows of edges of the face's skin around its opening next to `inside` (pack space): arrays of vertex
    pairs. The first is the skin's border, deep behind the lid or lip.
    """
    skin = pack.triangles[pack.of_parts(("face",))]
    edges, uses = np.unique(np.sort(np.concatenate([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]]), 1), axis=0, return_counts=True)
    border = edges[uses == 1]
    label = connected_components(coo_matrix((np.ones(len(border)), border.T), (len(pack.neutral),) * 2), directed=False)[1]
    middle = {k: pack.neutral[label == k].mean(0) for k in np.unique(label[border])}
    nearest = min(middle, key=lambda k: np.linalg.norm(middle[k] - inside))
    depth = np.full(len(pack.neutral), count)
    depth[label == nearest] = 0
    for k in range(1, count):
        ends = edges[(depth[edges] == k - 1).any(1)]
        depth[ends[depth[ends] == count]] = k
    return [edges[(depth[edges] == k).all(1)] for k in range(count)]


def attach_to_edges(pack, points, edges, stretch):
    """The closest point of these edges of the face's skin to each point: vertex indices (n, 3), barycentrics (n, 3).
    Distances along an axis count times `stretch` (3).
    """
    skin = pack.triangles[pack.of_parts(("face",))]
    a, b = (pack.neutral[edges[:, k]] * stretch for k in (0, 1))
    out_index, out_weights = np.zeros((len(points), 3), int), np.zeros((len(points), 3))
    for i, point in enumerate(points * stretch):
        t = np.clip(((point - a) * (b - a)).sum(1) / np.maximum(((b - a) ** 2).sum(1), 1e-18), 0, 1)
        k = np.linalg.norm(a + (b - a) * t[:, None] - point, axis=1).argmin()
        triangle = skin[np.isin(skin, edges[k]).sum(1) == 2][0]
        out_index[i] = triangle
        out_weights[i] = np.where(triangle == edges[k][0], 1 - t[k], np.where(triangle == edges[k][1], t[k], 0))
    return out_index, out_weights


class Landmarks478:
    """models/landmarks478.json."""

    def __init__(self, path):
        data = json.loads(path.read_text())
        self.index, self.weights = np.array(data["triangle"]), np.array(data["barycentric"])
        self.mirror, self.part = np.array(data["mirror"]), data["part"]

    def on(self, vertices):
        """The landmarks on a mesh of the head model, in its units (478, 3)."""
        return positions(vertices, self.index, self.weights)

    def origin(self, vertices):
        """Head space's origin on this person's face at rest: midway between the outer eye corners."""
        return self.on(vertices)[list(OUTER_CORNERS)].mean(0)


#: Outer eye corners, the subject's right and left.
OUTER_CORNERS = 33, 263
