"""What a user does with a cluster: load a data set, train, predict. One
line says what came of it, as JSON."""
import json
import os
import random
import sys

import h2o
from h2o.estimators import H2OGeneralizedLinearEstimator, H2OGradientBoostingEstimator

# H2O keeps what is uploaded in pieces of 4 MiB, one after another on each node.
ROWS = 300_000
PATH = "/tmp/data.csv"

random.seed(1)
with open(PATH, "w") as file:
    file.write("a,b,c,group,y,class\n")
    for _ in range(ROWS):
        a, b, c = random.random(), random.random(), random.random()
        group = random.choice("kmn")
        y = 3 * a - 2 * b + (group == "k") + random.gauss(0, 0.1)
        file.write(f"{a:.9f},{b:.9f},{c:.9f},{group},{y:.9f},{'yes' if y > 1 else 'no'}\n")

h2o.connect(url=sys.argv[1], verbose=False)
h2o.no_progress()
frame = h2o.upload_file(PATH)
predictors = ["a", "b", "c", "group"]

gbm = H2OGradientBoostingEstimator(ntrees=10, max_depth=4, seed=1)
gbm.train(x=predictors, y="class", training_frame=frame)
glm = H2OGeneralizedLinearEstimator(family="gaussian")
glm.train(x=predictors, y="y", training_frame=frame)
predictions = gbm.predict(frame)

table = h2o.api("GET /3/Frames/" + frame.frame_id)["frames"][0]["distribution_summary"]
rows = table.col_header.index("number_of_rows")
summary = ("mean", "min", "max", "stddev", "total")
nodes = {line[0]: int(line[rows]) for line in table.cell_values if line[0] not in summary}
print(json.dumps({
    "bytes": os.path.getsize(PATH), "rows": frame.nrows, "predictions": predictions.nrows,
    "auc": gbm.auc(), "r2": glm.r2(), "nodes": nodes,
}))
