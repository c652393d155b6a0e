"""The demonstration clip and its truth: `python -m demo.make_demo --assets DIR --out ../assets/demo`, from `training/`."""
