package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

const (
	minNodes, maxNodes = 2, 4
	// actLimit is for a write: while a replica of the webhook is killed some fail.
	actLimit = time.Minute
	// maxStopped is how long a cluster stays at zero.
	maxStopped = 10 * time.Second
)

// causes are what is done to clusters, each as often as it is listed.
var causes = []func(*target, context.Context) error{
	(*target).deleteOne, (*target).deleteOne, (*target).deleteOne,
	(*target).deleteSeveral, (*target).deleteSeveral,
	(*target).kill, (*target).kill, (*target).kill,
	(*target).rollout, (*target).rollout,
	(*target).changeTemplate, (*target).changeTemplate,
	(*target).resize, (*target).resize,
	(*target).stopAndStart,
}

// act does one thing to the cluster.
func (t *target) act(ctx context.Context) error {
	return causes[t.random.IntN(len(causes))](t, ctx)
}

func (t *target) deleteOne(ctx context.Context) error { return t.deletePods(ctx, 1) }

func (t *target) deleteSeveral(ctx context.Context) error {
	return t.deletePods(ctx, 2+t.random.IntN(maxNodes-1))
}

// deletePods deletes some of the pods that are there, in the order of chance.
func (t *target) deletePods(ctx context.Context, number int) error {
	names := t.alive()
	names = names[:min(number, len(names))]
	t.note(fmt.Sprintf("delete pods %v", names))
	for _, name := range names {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: t.space.Namespace, Name: name}}
		err := harness.Poll(ctx, actLimit, func(ctx context.Context) error { return client.IgnoreNotFound(t.space.Client.Delete(ctx, pod)) })
		if err != nil {
			return fmt.Errorf("cannot delete pod %s: %w", name, err)
		}
	}
	return nil
}

// alive gives the names of the pods that are not being deleted, in random order.
func (t *target) alive() []string {
	t.seen.lock.Lock()
	defer t.seen.lock.Unlock()
	var names []string
	for _, p := range t.seen.present() {
		if p.alive() {
			names = append(names, p.name)
		}
	}
	slices.Sort(names)
	t.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names
}

// kill ends the process in a pod, whose container is then restarted in place. One
// that has not started yet cannot be asked to.
func (t *target) kill(ctx context.Context) error {
	names := t.alive()
	if len(names) == 0 {
		return nil
	}
	t.note("kill the process in " + names[0])
	err := t.ask.CoreV1().RESTClient().Post().Namespace(t.space.Namespace).Resource("pods").SubResource("proxy").
		Name(fmt.Sprintf("%s:%d", names[0], h2otest.PortProbe)).Suffix("standin/die").Do(ctx).Error()
	t.seen.lock.Lock()
	defer t.seen.lock.Unlock()
	t.seen.say("we: it answers %v", err)
	if p := t.seen.named(names[0]); err == nil && p != nil {
		p.dies = p.restarts + 1
	}
	return ctx.Err()
}

// rollout does what kubectl rollout restart does.
func (t *target) rollout(ctx context.Context) error {
	t.note("rollout restart")
	annotation := map[string]string{"kubectl.kubernetes.io/restartedAt": time.Now().Format(time.RFC3339Nano)}
	return t.patch(ctx, map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": annotation}}}})
}

func (t *target) changeTemplate(ctx context.Context) error {
	t.revision++
	t.note(fmt.Sprintf("change the template to %d", t.revision))
	return t.patch(ctx, map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{
		map[string]any{"name": "h2o", "env": []any{map[string]string{"name": "STANDIN_REVISION", "value": strconv.Itoa(t.revision)}}},
	}}}}})
}

func (t *target) resize(ctx context.Context) error {
	return t.scale(ctx, minNodes+t.random.IntN(maxNodes-minNodes+1))
}

func (t *target) stopAndStart(ctx context.Context) error {
	if err := t.scale(ctx, 0); err != nil {
		return err
	}
	if err := pause(ctx, time.Duration(t.random.Int64N(int64(maxStopped)))); err != nil {
		return err
	}
	return t.resize(ctx)
}

func (t *target) scale(ctx context.Context, replicas int) error {
	t.note(fmt.Sprintf("scale to %d", replicas))
	return t.patch(ctx, map[string]any{"spec": map[string]any{"replicas": replicas}})
}

func (t *target) patch(ctx context.Context, change any) error {
	text, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("cannot render a patch: %w", err)
	}
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: t.space.Namespace, Name: t.seen.name}}
	err = harness.Poll(ctx, actLimit, func(ctx context.Context) error {
		return t.space.Client.Patch(ctx, set, client.RawPatch(types.StrategicMergePatchType, text))
	})
	if err != nil {
		return fmt.Errorf("cannot change %s: %w", t.seen.name, err)
	}
	return nil
}
