//go:build h2o

package h2o

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

const (
	// gridModels is how many models the grid search of testdata/work.py has.
	gridModels = 12
	// gridTrees makes a model take some seconds.
	gridTrees = "60"
	// modelLimit is how long the models may take: seconds each, and far more on a
	// busy machine.
	modelLimit = 10 * time.Minute
)

// gridSearch is a grid search that goes on while its cluster is restarted.
type gridSearch struct {
	*lived
	folder string // where the machine has what H2O saves
	// known are the models that were seen finished.
	known map[string]trained
}

// trained says when and with what a model was trained.
type trained struct {
	Began int64     `json:"began"`
	With  []float64 `json:"with"`
}

// recovering is a set whose recovery directory is on a volume that all nodes of
// this cluster share.
func recovering(t *testing.T, name string, nodes int) string {
	t.Helper()
	if cluster.Shared == "" {
		t.Skip("a cluster of somebody else's has no folder that all of its nodes share")
	}
	return strings.NewReplacer(
		"metadata:\n  name:", "metadata:\n  annotations: {h2o.ai/recovery-dir: /recovery}\n  name:",
		"      containers:\n", "      volumes: [{name: shared, hostPath: {path: "+cluster.Shared+", type: Directory}}]\n      containers:\n",
		"        resources:\n", "        volumeMounts: [{name: shared, mountPath: /recovery}]\n        resources:\n",
	).Replace(cluster.Plain(name, nodes))
}

func (l *lived) searchGrid() *gridSearch {
	l.Helper()
	g := &gridSearch{lived: l, folder: filepath.Join(cluster.Shared, l.Space.Namespace+"-"+l.name), known: map[string]trained{}}
	l.Cleanup(func() {
		if err := os.RemoveAll(g.folder); err != nil {
			l.Error(err)
		}
	})
	l.work("frame")
	l.work("grid", "search", gridTrees)
	return g
}

// look notes the finished models. A model that was known must be the same.
func (g *gridSearch) look(ctx context.Context) (map[string]trained, error) {
	out, err := g.tryWork(ctx, "models", "search")
	if err != nil {
		return nil, err
	}
	now := map[string]trained{}
	if err := json.Unmarshal([]byte(out), &now); err != nil {
		return nil, fmt.Errorf("the models are %q: %w", out, err)
	}
	for name, model := range now {
		if before, has := g.known[name]; has && before.Began != model.Began {
			g.Errorf("model %s was trained again: it began at %d and at %d", name, before.Began, model.Began)
		}
	}
	return now, nil
}

// models waits until so many models are finished.
func (g *gridSearch) models(n int) {
	g.Helper()
	g.Eventually(fmt.Sprintf("%d models", n), modelLimit, func(ctx context.Context) error {
		now, err := g.look(ctx)
		if err != nil {
			return err
		}
		if len(now) < n {
			return fmt.Errorf("there are %d", len(now))
		}
		maps.Copy(g.known, now)
		return nil
	})
}

// more waits until the grid search has gone on.
func (g *gridSearch) more(n int) {
	g.Helper()
	g.models(min(gridModels, len(g.known)+n))
	if len(g.known) == gridModels {
		g.Fatal("the grid search is done already: it was not interrupted")
	}
}

// done waits until all models are there, and nothing is left to be resumed.
func (g *gridSearch) done() {
	g.Helper()
	g.models(gridModels)
	with := map[string]string{}
	for name, model := range g.known {
		key := fmt.Sprint(model.With)
		if other, has := with[key]; has {
			g.Errorf("models %s and %s were trained with the same %s", name, other, key)
		}
		with[key] = name
	}
	g.Eventually("H2O takes the saved state away", modelLimit, func(context.Context) error {
		left, err := filepath.Glob(filepath.Join(g.folder, "*"))
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("left are %q", left)
		}
		return err
	})
}

// says waits for an Event of the cluster with a text.
func (l *lived) says(text string) {
	l.Helper()
	l.Eventually("an Event says "+text, 30*time.Second, func(ctx context.Context) error {
		out, err := l.Space.Kubectl(ctx, "get", "events.events.k8s.io", "-o", "jsonpath={range .items[*]}{.note}{\"\\n\"}{end}")
		if err == nil && !strings.Contains(out, text) {
			err = fmt.Errorf("they say %q", out)
		}
		return err
	})
}

// TestLifeRecovery proves that a grid search goes on by itself after a restart:
// all its models are there at the end, and none that was finished before was
// trained again. LONG=1 has it interrupted by each cause.
func TestLifeRecovery(t *testing.T) {
	t.Parallel()
	l := live(t, "grid", recovering(t, "grid", 3))
	g := l.searchGrid()
	g.more(1)
	if long() {
		l.restart(life.CauseMemberLost, 3, func() { l.Kubectl("delete", "pod", l.follower(), "--wait=false") })
		g.more(1)
		l.restart(life.CauseTemplate, 3, func() { l.Kubectl("rollout", "restart", "statefulset", l.name) })
		g.more(1)
	}
	l.calm(life.CauseContainerRestarted)
	l.restart(life.CauseContainerRestarted, 3, func() { l.killJVM(l.follower()) })
	l.says("goes on by itself")
	g.done()
}

// TestLifeRecoveryResized proves what H2O does at another size: nothing; and that
// the search goes on when the cluster has its former size again.
func TestLifeRecoveryResized(t *testing.T) {
	needLong(t)
	t.Parallel()
	l := live(t, "grid", recovering(t, "grid", 3))
	g := l.searchGrid()
	g.more(2)
	l.restart(life.CauseResize, 2, func() { l.Kubectl("scale", "statefulset", l.name, "--replicas=2") })
	l.says("if it began in a cluster of 2")
	l.Eventually("H2O tries to resume it", modelLimit, func(ctx context.Context) error {
		log, err := l.Space.Kubectl(ctx, "logs", l.leaderPod().Name)
		if err == nil && !strings.Contains(log, "ecover") {
			err = fmt.Errorf("its log does not speak of it")
		}
		return err
	})
	if now, err := g.look(t.Context()); err == nil && len(now) > len(g.known) {
		t.Errorf("H2O went on at another size: %d models; the Event and the documentation say that it does not", len(now))
	}
	l.restart(life.CauseResize, 3, func() { l.Kubectl("scale", "statefulset", l.name, "--replicas=3") })
	g.done()
}
