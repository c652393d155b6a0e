# Two commands for newcomers: `make demo` and `make test`. cargo does the work; this page only sees to the system's
# packages. Where they are there, `cargo run --release -- demo` and `cargo test` do the same.

# What building needs: cmake and nasm for the JPEG decoder, libclang for the V4L2 headers, python3 to fetch the runtime.
PACKAGES := build-essential cmake nasm libclang-dev pkg-config python3-pip
# What tests use beside it: video files, a receiver nobody here wrote, a C compiler with sanitizers.
TEST_PACKAGES := $(PACKAGES) ffmpeg liblo-tools

.PHONY: demo test test-training bench packages test-packages clean

demo: packages
	cargo run --release -- demo

# `make test FEATURES=render` tests the renderer, too.
test: test-packages
	cargo test $(if $(FEATURES),--features $(FEATURES))

# The training code, in an environment of its own; PyTorch alone is gigabytes, so this is not part of `make test`. With
# FACES=DIR of at least 200 renders a short training is run too.
test-training:
	@test -d target/training || python3 -m venv target/training
	target/training/bin/pip install --quiet torch numpy opencv-python-headless onnx onnxruntime
	cd training && ../target/training/bin/python -m face.tests
	cd training/expression && ../../target/training/bin/python tests.py

bench: packages
	cargo bench

packages:
	@sh tools/packages.sh $(PACKAGES)

test-packages:
	@sh tools/packages.sh $(TEST_PACKAGES)

clean:
	cargo clean
