"""Words drawn on a picture. Bold letters in the colours of skin are what the networks took for faces."""

import cv2
import numpy as np

FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZaaeeiioouubcdfghklmnprst0123456789"


def letter(picture, rng):
    """Draws one to four words of random size, place and colour on a picture (height, width, 3), in place."""
    for _ in range(rng.integers(1, 5)):
        word(picture, rng)


def word(picture, rng):
    height, width = picture.shape[:2]
    tall = np.exp(rng.uniform(np.log(0.05), np.log(0.7))) * min(height, width)
    text = "".join(rng.choice(list(LETTERS), rng.integers(1, 11)))
    font = int(rng.choice(FONTS))
    thick = max(1, int(tall * rng.uniform(0.06, 0.35)))
    # Hershey's capitals are 21 units high.
    scale = tall / 21
    long = cv2.getTextSize(text, font, scale, thick)[0][0]
    # Some of it is in the picture.
    x, y = rng.uniform(-0.8 * long, 0.8 * width), rng.uniform(0.3 * tall, height + 0.7 * tall)
    place = int(x), int(y)
    if rng.random() < 0.5:
        beside = place[0] + int(rng.normal() * 0.1 * tall), place[1] + int(rng.normal() * 0.1 * tall)
        cv2.putText(picture, text, beside, font, scale, colour(rng), thick + int(rng.uniform(0, 0.15) * tall), cv2.LINE_AA)
    fill = colour(rng)
    if rng.random() < 0.4:
        # A film's title: letters with a rim in a darker shade.
        rim = tuple(int(v * rng.uniform(0.2, 0.8)) for v in fill)
        cv2.putText(picture, text, place, font, scale, rim, thick + max(2, int(rng.uniform(0.06, 0.3) * tall)), cv2.LINE_AA)
    if rng.random() < 0.4:
        shaded(picture, fill, colour(rng), rng, (text, place, font, scale, 255, thick, cv2.LINE_AA))
    else:
        cv2.putText(picture, text, place, font, scale, fill, thick, cv2.LINE_AA)
    if rng.random() < 0.3:
        cv2.putText(picture, text, place, font, scale, colour(rng), max(1, thick // 3), cv2.LINE_AA)


def shaded(picture, light, dark, rng, writing):
    """Writes in a colour that runs into another one, as round and lit letters do."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.putText(mask, *writing)
    rows, columns = np.nonzero(mask)
    if not rows.size:
        return
    turn = rng.uniform(0, 2 * np.pi)
    way = rows * np.sin(turn) + columns * np.cos(turn)
    along = ((way - way.min()) / max(np.ptp(way), 1e-6))[:, None]
    share = mask[rows, columns][:, None] / 255
    ink = np.float32(light) * (1 - along) + np.float32(dark) * along
    picture[rows, columns] = (picture[rows, columns] * (1 - share) + ink * share).astype(np.uint8)


def colour(rng):
    """Every second one a skin's, red over green over blue."""
    if rng.random() < 0.5:
        red = rng.uniform(90, 255)
        green = red * rng.uniform(0.6, 0.85)
        return tuple(int(v) for v in (red, green, green * rng.uniform(0.6, 0.9)))
    return tuple(int(v) for v in rng.integers(0, 256, 3))
