"""Draws a scene with OpenGL (EGL, no display; a software rasteriser will do)."""

from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import cv2
import moderngl
import numpy as np

from . import light as lighting
from .pack import EYES, FACE, IRIS_RADIUS_MM, LASHES, MM_PER_UNIT, MOUTH, PAINTED_IRIS_RADIUS_MM, SKIN, vertex_normals

SHADERS = Path(__file__).with_name("shaders")


class Material(IntEnum):
    """As `material` in head.frag."""

    FACE = 0
    SKIN = 1
    MOUTH = 2
    EYE = 3
    HAIR = 4
    LASH = 5
    CLOTH = 6


#: Linear albedo of the parts without a texture, after the pack's README; the teeth lighter and warmer, for lit lips shade them.
GUMS, TONGUE, TEETH = (.42, .13, .12), (.50, .17, .16), (.88, .74, .52)

#: The shadow map's side in pixels, and half of the cube that it covers around the head.
SHADOW_PIXELS, SHADOW_EXTENT_MM = 1024, 320.0

#: Codes of the parts in `Renderer.surface`; 0 is the background.
SURFACE_PARTS = {"face": FACE, "head": SKIN, "mouth": MOUTH, "eye": EYES}


class Piece(NamedTuple):
    """Triangles of one material, ready for the vertex shader."""

    packed: np.ndarray
    material: Material
    texture: str | None
    tint: tuple


def _piece(mesh, triangles, triangles_uv, material, texture=None, tint=(1, 1, 1)):
    """Unrolls triangles of (vertices, normals, neutral, occlusion, uv)."""
    vertices, normals, neutral, occlusion, uv = mesh
    i = triangles.ravel()
    packed = np.concatenate([vertices[i], normals[i], neutral[i], occlusion[i, None], uv[triangles_uv.ravel()]], 1)
    return Piece(packed.astype("f4"), material, texture, tint)


def _columns(matrix):
    """A matrix as OpenGL reads it."""
    return np.ascontiguousarray(matrix.T).astype("f4").tobytes()


class Renderer:
    """Draws scenes of one image size. `supersample` squared samples make a pixel."""

    def __init__(self, pack, camera, supersample=2):
        self.pack, self.camera, self.supersample = pack, camera, supersample
        self.size = camera.width * supersample, camera.height * supersample
        self.gl = moderngl.create_context(standalone=True, backend="egl")
        self.panoramas = {k: v.astype(np.float64) for k, v in np.load(pack.folder / "hdri.npz").items()}
        read = lambda name: (SHADERS / name).read_text()
        self.shade = self.gl.program(vertex_shader=read("head.vert"), fragment_shader=read("head.frag"))
        self.trace = self.gl.program(vertex_shader=read("surface.vert"), fragment_shader=read("surface.frag"))
        self.depth = self.gl.program(vertex_shader=read("shadow.vert"), fragment_shader=read("shadow.frag"))
        depth = self.gl.depth_renderbuffer(self.size)
        self.colour = self.gl.framebuffer(self.gl.texture(self.size, 4), depth)
        self.place = self.gl.framebuffer(self.gl.texture(self.size, 4, dtype="f4"), depth)
        shadow = self.gl.depth_texture((SHADOW_PIXELS, SHADOW_PIXELS))
        shadow.repeat_x = shadow.repeat_y = False
        self.shadow = self.gl.framebuffer(depth_attachment=shadow)
        self._textures = {}
        parts = {"face": FACE, "skin": SKIN, "gums": ("gums",), "tongue": ("tongue",), "teeth": ("teeth",), "eyes": EYES, "lashes": LASHES}
        self._parts = {name: pack.of_parts(names) for name, names in parts.items()}
        self._smooth = pack.triangles[~pack.of_parts(("ebl", "ebr", "ocl", "ocr", "lacl", "lacr"))]

    def render(self, scene):
        """RGB (height, width, 3) u8."""
        pieces = list(self._pieces(scene))
        irradiance, direction, colour = lighting.split(self.panoramas[scene.light.panorama], scene.light.turn)
        self._cast_shadow(scene, pieces, direction)
        self._begin(self.colour, self.shade, scene)
        self._set_light(scene, irradiance, direction, colour)
        self.gl.enable(moderngl.BLEND)
        # Colour over colour, and alpha adds up: what stays open shows the background.
        self.gl.blend_func = moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA, moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA
        self._texture(f"brows/{scene.looks.brow}.png").use(1)
        self.shadow.depth_attachment.use(2)
        for piece in pieces:
            self.shade["material"] = int(piece.material)
            self.shade["tint"] = tuple(float(t) for t in piece.tint)
            self._texture(piece.texture).use(0)
            self._submit(self.shade, piece.packed, "3f 3f 3f 1f 2f", ("position", "normal", "neutral", "occlusion", "texcoord"))
        return self._resolve(self._background(scene.light))

    def surface(self, scene):
        """What each pixel shows: place on the mean head (h, w, 3; pack units), part (h, w; see SURFACE_PARTS, 0 = nothing)
        and facing (h, w; cosine between normal and line of sight). Hair is left out.
        """
        pack, vertices = self.pack, self.pack.vertices(scene.identity, scene.shapes)
        self._begin(self.place, self.trace, scene)
        self.gl.disable(moderngl.BLEND)
        normals = vertex_normals(vertices, self._smooth)
        for code, names in enumerate(SURFACE_PARTS.values(), 1):
            self.trace["part"] = float(code)
            index = pack.triangles[pack.of_parts(names)].ravel()
            packed = np.concatenate([vertices[index], normals[index], pack.neutral[index]], 1).astype("f4")
            self._submit(self.trace, packed, "3f 3f 3f", ("position", "normal", "neutral"))
        data = np.frombuffer(self.place.read(components=4, dtype="f4"), "f4").reshape(*self.size[::-1], 4)[::-1]
        part = np.floor(data[..., 3]).astype(int)
        return data[..., :3], part, data[..., 3] - part

    def _begin(self, target, program, scene):
        """Clears the target and sets the transforms."""
        target.use()
        self.gl.clear(0, 0, 0, 0)
        self.gl.enable(moderngl.DEPTH_TEST)
        light_from_pack = self._light_from_pack(scene)
        clip_from_light = self.camera.clip_from_camera() @ np.diag([1.0, -1.0, -1.0, 1.0])
        program["clip_from_pack"].write(_columns(clip_from_light @ light_from_pack))
        program["light_from_pack"].write(_columns(light_from_pack))

    @staticmethod
    def _light_from_pack(scene):
        """Light space is camera space with y up and z towards the head's front: millimetres, the camera at the origin."""
        out = np.eye(4)
        out[:3, :3] = scene.pose.rotation * MM_PER_UNIT
        out[:3, 3] = scene.pose.translation_mm - scene.pose.rotation @ scene.origin * MM_PER_UNIT
        return np.diag([1.0, -1.0, -1.0, 1.0]) @ out

    def _cast_shadow(self, scene, pieces, direction):
        """Fills the shadow map: an orthographic view along the key light, around the head's middle."""
        light_from_pack, middle = self._light_from_pack(scene), scene.pose.translation_mm * [1, -1, -1]
        side = np.cross([0, 1, 0], direction)
        side /= np.linalg.norm(side) + 1e-9
        turn = np.stack([side, np.cross(direction, side), -direction])
        self._shadow_from_light = np.eye(4)
        self._shadow_from_light[:3, :3] = turn / SHADOW_EXTENT_MM
        self._shadow_from_light[:3, 3] = -turn @ middle / SHADOW_EXTENT_MM
        self.shadow.use()
        self.gl.clear(depth=1.0)
        self.gl.enable(moderngl.DEPTH_TEST)
        self.depth["shadow_from_pack"].write(_columns(self._shadow_from_light @ light_from_pack))
        for piece in pieces:
            if piece.material != Material.LASH:
                self.depth["has_gaps"] = piece.material == Material.HAIR
                self._texture(piece.texture).use(0)
                self._submit(self.depth, piece.packed, "3f 28x 2f", ("position", "texcoord"))

    def _set_light(self, scene, irradiance, direction, colour):
        gain = lighting.exposure(irradiance, direction, colour) * scene.light.exposure
        values = {
            "key_direction": tuple(direction), "key_colour": tuple(colour), "exposure": float(gain),
            "gloss": scene.looks.gloss, "hair_colour": tuple(scene.looks.hair_colour), "albedo": 0, "brow": 1, "shadow": 2,
            "brow_colour": tuple(np.asarray(scene.looks.hair_colour) ** 2.2 * .5),
            "iris_uv_scale": PAINTED_IRIS_RADIUS_MM / IRIS_RADIUS_MM, "shadow_extent_mm": SHADOW_EXTENT_MM,
            "shadow_softness_mm": scene.light.softness_mm, "shadow_strength": scene.light.shadow,
        }
        for name, value in values.items():
            self.shade[name] = value
        self.shade["irradiance_sh"].write(irradiance.astype("f4").tobytes())
        self.shade["shadow_from_light"].write(_columns(self._shadow_from_light))

    def _pieces(self, scene):
        """All that is drawn, in order."""
        pack, looks = self.pack, scene.looks
        vertices = pack.vertices(scene.identity, scene.shapes)
        body = pack.torso + (vertices - pack.neutral)[pack.torso_bind]
        body = pack.stay_behind(body, pack.torso, scene.shoulders_from_head)
        vertices = pack.stay_behind(vertices, pack.neutral, scene.shoulders_from_head)
        normals, occlusion = vertex_normals(vertices, self._smooth), pack.occlusion(scene.shapes)

        def part(name, material, texture=None, tint=(1, 1, 1), shift=0):
            mask = self._parts[name]
            mesh = vertices, normals, pack.neutral, occlusion, pack.uv - [shift, 0]
            return _piece(mesh, pack.triangles[mask], pack.triangles_uv[mask], material, texture, tint)

        yield part("face", Material.FACE, f"skins/{looks.skin}_face.jpg", looks.skin_tint)
        yield part("skin", Material.SKIN, f"skins/{looks.skin}_head.jpg", looks.skin_tint, shift=1)
        for name, tint in (("gums", GUMS), ("tongue", TONGUE), ("teeth", TEETH)):
            yield part(name, Material.MOUTH, tint=tint)
        yield part("eyes", Material.EYE, f"iris/{looks.iris}.jpg")
        mesh = body, vertex_normals(body, pack.torso_triangles), body, np.ones(len(body)), body[:, :2]
        yield _piece(mesh, pack.torso_triangles, pack.torso_triangles, Material.CLOTH, tint=looks.cloth)
        lashes = pack.triangles[self._parts["lashes"]]
        mesh = vertices, normals, pack.neutral, np.ones(len(vertices)), pack.lash_uv
        yield _piece(mesh, lashes, lashes, Material.LASH)
        if looks.hair:
            yield self._hair(scene)

    def _hair(self, scene):
        pack, hair = self.pack, self.pack.hairs[scene.looks.hair]
        moved = (pack.identity_vertices(scene.identity) - pack.neutral)[hair["bind_idx"]]
        vertices = hair["verts"] + (moved * hair["bind_w"][..., None].astype(np.float32)).sum(1)
        vertices = pack.stay_behind(vertices, hair["verts"], scene.shoulders_from_head)
        triangles = hair["tri"].astype(int)
        mesh = vertices, vertex_normals(vertices, triangles), vertices, np.ones(len(vertices)), hair["uv"]
        return _piece(mesh, triangles, hair["tri_uv"].astype(int), Material.HAIR, f"hair/{scene.looks.hair}.png")

    def _submit(self, program, packed, layout, names):
        buffer = self.gl.buffer(packed.tobytes())
        array = self.gl.vertex_array(program, [(buffer, layout, *names)])
        array.render()
        array.release()
        buffer.release()

    def _texture(self, name):
        """A texture of the pack by its path; white for None."""
        if name not in self._textures:
            self._textures[name] = self._load(name) if name else self.gl.texture((1, 1), 3, b"\xff" * 3, alignment=1)
        return self._textures[name]

    def _load(self, name):
        image = cv2.imread(str(self.pack.folder / name), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise FileNotFoundError(self.pack.folder / name)
        image = image[..., None] if image.ndim == 2 else image
        image = image[..., [0, 3]] if image.shape[2] == 4 else image[..., ::-1]  # hair: grey and alpha
        texture = self.gl.texture(image.shape[1::-1], image.shape[2], np.ascontiguousarray(image[::-1]).tobytes(), alignment=1)
        texture.build_mipmaps()
        texture.anisotropy = 8
        return texture

    def _background(self, light):
        """A blurred piece of the panorama, as a lens with a shallow field shows it."""
        width, height = self.size
        picture = cv2.imread(str(self.pack.folder / "backgrounds" / f"{light.panorama}.jpg"))[:, :, ::-1]
        picture = np.roll(picture, -int(light.background_shift * picture.shape[1]), 1)
        piece = picture[60:200, : int(140 * width / height)]
        large = cv2.resize(np.ascontiguousarray(piece), (width, height), interpolation=cv2.INTER_CUBIC)
        return cv2.GaussianBlur(large, (0, 0), 2 + light.background_blur * height / 60).astype(np.float32)

    def _resolve(self, background):
        image = np.frombuffer(self.colour.read(components=4), np.uint8).reshape(*self.size[::-1], 4)[::-1].astype(np.float32)
        alpha = image[..., 3:] / 255
        image = image[..., :3] + background * (1 - alpha)
        small = cv2.resize(image, (self.camera.width, self.camera.height), interpolation=cv2.INTER_AREA)
        return small.clip(0, 255).astype(np.uint8)
