"""Prints a Live Link Face recording as JSON: a list of rows by column."""

import csv
import json
import sys

with open(sys.argv[1], newline="", encoding="ascii") as file:
    print(json.dumps(list(csv.DictReader(file, strict=True))))
