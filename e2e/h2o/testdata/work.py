"""Gives work to an H2O cluster through its REST interface, and looks after it.

    work.py URL frame [ROWS]       make a frame of random numbers in the cluster's memory
    work.py URL gbm MODEL          begin to train a model, and do not wait for it
    work.py URL grid GRID TREES    begin a grid search of 12 models, and do not wait for it
    work.py URL models GRID        print the models of a grid: with what, and when, each was trained
    work.py URL use                use the frame

H2O's own package would do, but takes many seconds to load on a busy machine.
"""
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

FRAME = "train"


def call(path, **form):
    data = urllib.parse.urlencode(form).encode() if form else None
    try:
        with urllib.request.urlopen(URL + path, data, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit("%s: HTTP %d: %s" % (path, error.code, error.read()[:1000].decode()))


def frame(rows=20000):
    job = call("/3/CreateFrame", dest=FRAME, rows=rows, cols=20, seed=7, categorical_fraction=0, integer_fraction=0,
               binary_fraction=0, string_fraction=0, time_fraction=0, missing_fraction=0, has_response="true", response_factors=1)
    name = job["key"]["name"]
    while True:
        status = call("/3/Jobs/" + urllib.parse.quote(name, safe=""))["jobs"][0]["status"]
        if status == "DONE":
            return
        if status not in ("CREATED", "RUNNING"):
            sys.exit("the frame is " + status)
        time.sleep(0.2)


def gbm(model):
    call("/3/ModelBuilders/gbm", model_id=model, training_frame=FRAME, response_column="response", ntrees=10000, max_depth=5, seed=1)


def grid(name, trees):
    hyper = {"max_depth": [2, 3, 4, 5], "learn_rate": [0.02, 0.05, 0.1]}
    call("/99/Grid/gbm", grid_id=name, training_frame=FRAME, response_column="response", ntrees=trees, seed=1,
         score_tree_interval=1000, hyper_parameters=json.dumps(hyper))


def models(name):
    found = {}
    for model in call("/99/Grids/" + name)["model_ids"]:
        told = call("/3/Models/" + model["name"])["models"][0]
        with_ = {p["name"]: p["actual_value"] for p in told["parameters"]}
        found[model["name"]] = {"began": told["output"]["start_time"], "with": [with_["max_depth"], round(with_["learn_rate"], 3)]}
    print(json.dumps(found))


def use():
    print(json.dumps(call("/3/Frames/%s/summary" % FRAME)["frames"][0]["rows"]))


URL = sys.argv[1]
{"frame": frame, "gbm": gbm, "grid": grid, "models": models, "use": use}[sys.argv[2]](*sys.argv[3:])
