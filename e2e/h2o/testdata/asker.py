"""Asks for the cloud at URL once a second, like a client that wants an answer now, until FILE is there:

    asker.py URL FILE

Each answer of H2O is printed as one line of JSON, its nodes' addresses; no answer, and a refusal, is an empty line."""
import json
import os
import sys
import time
import urllib.request

url, stop = sys.argv[1:]
while not os.path.exists(stop):
    began = time.monotonic()
    try:
        with urllib.request.urlopen(url + "/3/Cloud", timeout=2) as answer:
            print(json.dumps(sorted(node["ip_port"].split(":")[0] for node in json.load(answer)["nodes"])))
    except OSError:
        print()
    time.sleep(max(0, began + 1 - time.monotonic()))
