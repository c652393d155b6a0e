"""The manifest of a network that is trained here: what the program compiles in to check the file against."""


def write_manifest(folder, name, sha256, size):
    """Writes `name`.toml beside `name`.onnx."""
    (folder / f"{name}.toml").write_text(f"""\
# Written by training/{name}/export.py.
name = "{name}"
file = "{name}.onnx"
sha256 = "{sha256}"
bytes = {size}
licence = "MIT OR Apache-2.0"
source = "training/{name}"
""")
