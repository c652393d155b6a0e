#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Faces over Zenoh: many machines that track, many that listen.

    facetrackd --jsonl - --jsonl-landmarks none | facetrackd_zenoh.py publish
    facetrackd_zenoh.py subscribe

A face is published under facetrackd/<host>/<face's id> as UTF-8 JSON: {"frame": N, "t": SECONDS, "face": {...}}, the face
as facetrackd's JSON lines have it. A face that is lost is deleted. Nothing listens beyond this machine, and nothing is
announced to the network, unless an option says so. Needs `pip install eclipse-zenoh`.
"""

import argparse
import json
import platform
import queue
import sys

import zenoh

DEFAULT_ENDPOINT = "tcp/127.0.0.1:7447"


def open_session(listen, connect, multicast):
    config = zenoh.Config()
    config.insert_json5("mode", '"peer"')
    config.insert_json5("listen/endpoints", json.dumps(listen))
    config.insert_json5("connect/endpoints", json.dumps(connect))
    # Who is not there yet is tried again and again.
    config.insert_json5("connect/timeout_ms", "-1")
    config.insert_json5("connect/exit_on_failure", "false")
    config.insert_json5("scouting/multicast/enabled", json.dumps(multicast))
    return zenoh.open(config)


def publish(session, host, lines):
    """Publishes every face of every line, and deletes those that have gone."""
    options = {
        # A late face is no use: where the network cannot follow, samples are dropped.
        "congestion_control": zenoh.CongestionControl.DROP,
        "priority": zenoh.Priority.REAL_TIME,
    }
    publishers = {}
    for text in lines:
        line = json.loads(text)
        seen = set()
        for face in line["faces"]:
            key = f"facetrackd/{host}/{face['id']}"
            seen.add(key)
            if key not in publishers:
                publishers[key] = session.declare_publisher(
                    key, encoding=zenoh.Encoding.APPLICATION_JSON, express=True, **options
                )
            sample = {"frame": line["frame"], "t": line["t"], "face": face}
            publishers[key].put(json.dumps(sample, separators=(",", ":")))
        for key in set(publishers) - seen:
            publishers[key].delete()
            publishers.pop(key).undeclare()
    for publisher in publishers.values():
        publisher.delete()


def subscribe(session, hosts):
    """Prints a JSON line for each sample: host, id, and what was published, or "gone"."""
    samples = queue.SimpleQueue()
    subscriber = session.declare_subscriber(f"facetrackd/{hosts}/*", samples.put)
    while True:
        sample = samples.get()
        _, host, face = str(sample.key_expr).split("/")
        said = {"host": host, "id": int(face) if face.isdigit() else face}
        if sample.kind == zenoh.SampleKind.DELETE:
            said["gone"] = True
        else:
            try:
                said.update(json.loads(sample.payload.to_string()))
            except (ValueError, zenoh.ZError) as error:
                print(f"{sample.key_expr}: not a face: {error}", file=sys.stderr)
                continue
        print(json.dumps(said), flush=True)
    subscriber.undeclare()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["publish", "subscribe"])
    parser.add_argument("--host", default=None, help="publish: this machine's name; subscribe: only that one's faces")
    parser.add_argument("--listen", action="append", metavar="ENDPOINT",
                        help=f"publish: where subscribers connect, {DEFAULT_ENDPOINT} unless given; tcp/0.0.0.0:7447 for everyone")
    parser.add_argument("--connect", action="append", metavar="ENDPOINT",
                        help=f"a publisher, a subscriber that listens, or a router; subscribe: {DEFAULT_ENDPOINT} unless given")
    parser.add_argument("--multicast", action="store_true", help="find each other by multicast on the network")
    args = parser.parse_args()
    is_publishing = args.what == "publish"
    listen = args.listen or ([DEFAULT_ENDPOINT] if is_publishing and not args.connect else [])
    connect = args.connect or ([] if is_publishing or args.listen else [DEFAULT_ENDPOINT])
    with open_session(listen, connect, args.multicast) as session:
        print(f"{args.what}: listening on {listen}, connecting to {connect}", file=sys.stderr, flush=True)
        try:
            if is_publishing:
                publish(session, args.host or platform.node() or "unnamed", sys.stdin)
            else:
                subscribe(session, args.host or "*")
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
