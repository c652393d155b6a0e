"""What cameras, codecs and desks do to a picture, beyond what the renderer has already done. On (n, n, 3) bytes."""

import cv2
import numpy as np

# Drawing noise anew for each picture would cost more than all else here: pieces of this are cut instead.
_NOISE = np.random.default_rng(0).standard_normal((512, 512, 3), np.float32)
_SMEARED = cv2.GaussianBlur(_NOISE, (0, 0), 0.8) * 2


def distort(image, rng, share=1.0):
    """The same picture as another camera would give it; each fault at `share` of its usual chance."""
    steps = [(0.18, cover), (0.12, cross), (0.3, shrink), (0.2, blur), (0.8, tone), (0.35, grain), (0.2, compress)]
    for chance, step in steps:
        if rng.random() < share * chance:
            image = step(image, rng)
    return image


def cover(image, rng):
    """Something flat stands before the face: a box or an oval of one colour, of noise, or of the picture itself."""
    n = image.shape[0]
    image = image.copy()
    for _ in range(rng.integers(1, 3)):
        size = rng.uniform(0.08, 0.42, 2) * n
        middle = rng.uniform(0, n, 2)
        mask = np.zeros((n, n), np.uint8)
        axes = tuple(int(s / 2) + 1 for s in size)
        angle = float(rng.uniform(0, 180))
        centre = tuple(int(v) for v in middle)
        if rng.random() < 0.5:
            cv2.ellipse(mask, centre, axes, angle, 0, 360, 255, -1)
        else:
            corners = cv2.boxPoints((centre, (2.0 * axes[0], 2.0 * axes[1]), angle))
            cv2.fillPoly(mask, [corners.astype(np.int32)], 255)
        image[mask > 0] = filling(image, rng)[mask > 0]
    return image


def cross(image, rng):
    """Strands of hair, a cable or a headset's boom lie across the face: curves of about one colour."""
    n = image.shape[0]
    drawn = image.copy()
    along = np.linspace(0, 1, 16)[:, None]
    for _ in range(rng.integers(1, 4)):
        bend = rng.uniform(-0.1, 1.1, (3, 2))
        colour = rng.uniform(0, 220) * np.array([1, *rng.uniform(0.5, 1, 2)])
        strands, width = (1, int(rng.integers(3, 12))) if rng.random() < 0.3 else (int(rng.integers(2, 16)), 1)
        apart = rng.uniform(0.005, 0.05)
        for _ in range(strands):
            a, b, c = n * (bend + apart * rng.normal(size=(3, 2)))
            curve = (1 - along) ** 2 * a + 2 * along * (1 - along) * b + along**2 * c
            shade = (colour * rng.uniform(0.7, 1.15)).tolist()
            cv2.polylines(drawn, [(16 * curve).astype(np.int32)], False, shade, width, cv2.LINE_AA, 4)
    share = float(rng.uniform(0.4, 1))
    return cv2.addWeighted(drawn, share, image, 1 - share, 0)


def filling(image, rng):
    """Something else of the same size: one colour, coarse noise, or the picture itself moved."""
    n, kind = image.shape[0], rng.random()
    if kind < 0.5:
        return np.broadcast_to(rng.integers(0, 256, 3).astype(np.uint8), image.shape)
    if kind < 0.75:
        return cv2.resize(rng.integers(0, 256, (6, 6, 3)).astype(np.uint8), (n, n))
    return np.roll(image, rng.integers(n // 4, n // 2, 2), (0, 1))


def hide_surroundings(image, landmarks, rng):
    """The face alone, of `landmarks` (k, 2) 0 to 1 across the picture: what is around it, and sometimes its rim, is something
    else, all around or on one side. Rendered ears, necks and hairlines tell a head's pitch better than real ones do."""
    n = image.shape[0]
    points = n * landmarks[:, :2]
    middle = points.mean(0)
    hull = cv2.convexHull((middle + (points - middle) * rng.uniform(0.85, 1.35, 2)).astype(np.float32))
    face = np.zeros((n, n), np.uint8)
    cv2.fillConvexPoly(face, hull.round().astype(np.int32), 255)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        x, y = np.arange(n) - middle[0], np.arange(n)[:, None] - middle[1]
        face[x * np.cos(angle) + y * np.sin(angle) < rng.uniform(0, 0.2) * n] = 255
    if rng.random() < 0.5:
        face = cv2.GaussianBlur(face, (0, 0), float(rng.uniform(0.5, 5)))
    share = face.astype(np.float32) / 255
    return cv2.blendLinear(image, np.ascontiguousarray(filling(image, rng)), share, 1 - share)


def shrink(image, rng):
    """A distant face: few pixels, enlarged."""
    n = image.shape[0]
    small = int(n * np.exp(rng.uniform(np.log(0.16), 0)))
    how = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)[rng.integers(3)]
    return cv2.resize(cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA), (n, n), interpolation=how)


def blur(image, rng):
    """Out of focus, or moving."""
    if rng.random() < 0.6:
        return cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 2.2)))
    length = int(rng.integers(3, 12))
    angle = rng.uniform(0, np.pi)
    kernel = np.zeros((length, length), np.float32)
    middle, reach = (length - 1) / 2, np.array([np.cos(angle), np.sin(angle)]) * (length - 1) / 2
    a, b = (tuple(int(round(v)) for v in middle + s * reach) for s in (-1, 1))
    cv2.line(kernel, a, b, 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def tone(image, rng):
    """Exposure, contrast, gamma, white balance and saturation, all by one table a channel."""
    x = np.linspace(0, 1, 256)[:, None]
    gain = np.exp(rng.normal() * 0.25) * np.exp(rng.normal(size=3) * 0.07)
    curve = (x * gain) ** np.exp(rng.normal() * 0.25)
    contrast = np.exp(rng.normal() * 0.18)
    curve = (curve - 0.5) * contrast + 0.5 + rng.normal() * 0.06
    table = (np.clip(curve, 0, 1) * 255).astype(np.uint8)
    out = cv2.LUT(np.ascontiguousarray(image), table[:, None, :])
    if rng.random() < 0.25:
        grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        share = 1.0 if rng.random() < 0.3 else float(rng.uniform(0, 1))
        out = cv2.addWeighted(grey, share, out, 1 - share, 0)
    return out


def grain(image, rng):
    """A sensor's noise, of single pixels or smeared by the camera's own cleaning."""
    n = image.shape[0]
    x, y = rng.integers(0, 512 - n, 2)
    noise = (_NOISE if rng.random() < 0.5 else _SMEARED)[y : y + n, x : x + n, :: 1 if rng.random() < 0.5 else -1]
    if rng.random() < 0.5:
        noise = noise[..., :1].repeat(3, 2)
    strength = float(np.exp(rng.uniform(np.log(1.5), np.log(18))))
    return cv2.addWeighted(image, 1.0, noise, strength, 0, dtype=cv2.CV_8U)


def compress(image, rng):
    """JPEG, down to a poor video call."""
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(18, 80))])
    return cv2.imdecode(data, cv2.IMREAD_COLOR) if ok else image
