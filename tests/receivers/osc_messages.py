"""Prints its port, then each OSC message it receives as a line of JSON: [address, arguments...]."""

import json

from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import BlockingOSCUDPServer

dispatcher = Dispatcher()
dispatcher.set_default_handler(lambda address, *args: print(json.dumps([address, *args]), flush=True))
server = BlockingOSCUDPServer(("127.0.0.1", 0), dispatcher)
print(server.server_address[1], flush=True)
server.serve_forever()
