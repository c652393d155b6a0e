"""A VRChat of python-zeroconf and http.server: announces itself, tells its avatar, hears OSC, puts on another avatar when told.

Says a line of JSON for each thing that happens. A line on standard input is the next avatar: its id, then its parameters as
NAME:TYPE. An empty line says whether facetrackd's own services are announced, and what its tree has.
"""

import json
import socket
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_server import ThreadingOSCUDPServer
from zeroconf import ServiceInfo, ServiceBrowser, ServiceListener, Zeroconf

LOOPBACK = "127.0.0.1"
avatar = {"id": "", "parameters": []}
lock = threading.Lock()


def say(**what):
    with lock:
        print(json.dumps(what), flush=True)


def heard(address, *args):
    say(osc=address, args=args)


dispatcher = Dispatcher()
dispatcher.set_default_handler(heard)
osc = ThreadingOSCUDPServer((LOOPBACK, 0), dispatcher)


def tree():
    parameters = {"FULL_PATH": "/avatar/parameters", "ACCESS": 0, "CONTENTS": {}}
    for name, kind in avatar["parameters"]:
        node = parameters
        for part in name.split("/"):
            path = node["FULL_PATH"] + "/" + part
            node = node.setdefault("CONTENTS", {}).setdefault(part, {"FULL_PATH": path, "ACCESS": 0})
        node.update(ACCESS=3, TYPE=kind, VALUE=[0])
    change = {"FULL_PATH": "/avatar/change", "ACCESS": 3, "TYPE": "s", "VALUE": [avatar["id"]]}
    return {"FULL_PATH": "/avatar", "ACCESS": 0, "CONTENTS": {"change": change, "parameters": parameters}}


class Web(BaseHTTPRequestHandler):
    def do_GET(self):
        answers = {
            "/?HOST_INFO": lambda: {"NAME": "VRChat-Client-7A11", "OSC_IP": LOOPBACK, "OSC_PORT": osc.server_address[1], "OSC_TRANSPORT": "UDP"},
            "/avatar": tree,
            "/avatar/change": lambda: tree()["CONTENTS"]["change"],
        }
        answer = answers.get(self.path)
        body = json.dumps(answer()).encode() if answer else b""
        self.send_response(200 if answer else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Others(ServiceListener):
    """Services called facetrackd."""

    def __init__(self):
        self.found = {}

    def add_service(self, zeroconf, kind, name):
        info = zeroconf.get_service_info(kind, name)
        if info and name.startswith("facetrackd-"):
            self.found[kind] = (socket.inet_ntoa(info.addresses[0]), info.port)
            say(announced=kind, address=self.found[kind][0])

    update_service = add_service

    def remove_service(self, zeroconf, kind, name):
        if name.startswith("facetrackd-"):
            say(gone=kind)


def main():
    web = ThreadingHTTPServer((LOOPBACK, 0), Web)
    for server in (web, osc):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    zeroconf = Zeroconf(interfaces=[LOOPBACK])
    others = Others()
    kinds = ["_oscjson._tcp.local.", "_osc._udp.local."]
    info = ServiceInfo(kinds[0], f"VRChat-Client-7A11.{kinds[0]}", addresses=[socket.inet_aton(LOOPBACK)], port=web.server_port, server="vrchat-test.local.")
    for line in sys.stdin:
        words = line.split()
        if words:
            first = not avatar["id"]
            avatar.update(id=words[0], parameters=[w.split(":") for w in words[1:]])
            if first:
                zeroconf.register_service(info)
                ServiceBrowser(zeroconf, kinds, others)
            elif kinds[1] in others.found:
                message = OscMessageBuilder("/avatar/change")
                message.add_arg(words[0])
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to:
                    to.sendto(message.build().dgram, others.found[kinds[1]])
        else:
            host, port = others.found[kinds[0]]
            get = lambda path: json.load(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://{host}:{port}{path}", timeout=5))
            say(tree=get("/"), host_info=get("/?HOST_INFO"), osc_port=others.found[kinds[1]][1])
    zeroconf.close()


main()
