package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

// kubelet is a stand-in for the kubelets: it writes the statuses of pods, runs a
// stand-in for H2O in each, and takes pods away that have ended.
type kubelet struct {
	client client.Client
	dns    *endpoints
	peers  *nodes
	slots  chan struct{} // bounds the writes under way

	abort context.CancelCauseFunc // a failure of the stand-in makes every figure void

	lock sync.Mutex
	pods map[types.UID]*pod
	last netip.Addr
}

// pod is one pod on the stand-in's machine.
type pod struct {
	key      client.ObjectKey
	uid      types.UID
	ip       string
	service  string
	count    int
	started  metav1.Time
	restarts int32
	node     *node
	ending   bool
}

func newKubelet(c client.Client, dns *endpoints, abort context.CancelCauseFunc) *kubelet {
	return &kubelet{
		client: c, dns: dns, abort: abort, peers: &nodes{byIP: map[string]*node{}}, slots: make(chan struct{}, 32),
		pods: map[types.UID]*pod{}, last: netip.MustParsePrefix(podRange).Addr(),
	}
}

// see takes in a pod as the API server now has it.
func (k *kubelet) see(ctx context.Context, object *corev1.Pod) {
	k.lock.Lock()
	defer k.lock.Unlock()
	p, known := k.pods[object.UID]
	switch {
	case !known && object.DeletionTimestamp == nil:
		k.last = k.last.Next()
		p = &pod{
			key: client.ObjectKeyFromObject(object), uid: object.UID, ip: k.last.String(), started: metav1.Now(),
			service: object.Spec.Subdomain, count: expectedCount(object),
		}
		k.pods[object.UID] = p
		k.start(ctx, p)
	case known && object.DeletionTimestamp != nil && !p.ending:
		p.ending = true
		go k.end(ctx, p)
	}
}

// expectedCount is what H2O reads of its environment.
func expectedCount(object *corev1.Pod) int {
	count := 0
	for i := range object.Spec.Containers {
		for _, v := range object.Spec.Containers[i].Env {
			if v.Name == inject.EnvExpectedCount {
				_, _ = fmt.Sscan(v.Value, &count) // what is no number stays 0
			}
		}
	}
	return count
}

// start runs H2O in a pod.
func (k *kubelet) start(ctx context.Context, p *pod) {
	inner, stop := context.WithCancel(ctx)
	n := &node{ip: p.ip, service: p.service, count: p.count, dns: k.dns, peers: k.peers, stop: stop, done: make(chan struct{})}
	n.turned = func(ready bool) { k.write(inner, p, n, ready) }
	p.node = n
	k.peers.add(n)
	go func() {
		defer close(n.done)
		k.write(inner, p, n, false)
		if err := n.run(inner); err != nil {
			k.abort(err)
		}
	}()
}

// end takes a pod away as a kubelet does: when its process has ended.
func (k *kubelet) end(ctx context.Context, p *pod) {
	if !sleep(ctx, processEnds) {
		return
	}
	k.halt(p)
	k.slots <- struct{}{}
	defer func() { <-k.slots }()
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.key.Namespace, Name: p.key.Name}}
	err := k.client.Delete(ctx, object, client.GracePeriodSeconds(0), client.Preconditions{UID: &p.uid})
	if client.IgnoreNotFound(err) != nil && ctx.Err() == nil {
		k.abort(fmt.Errorf("the stand-in for the kubelet cannot remove a pod: %w", err))
	}
	k.lock.Lock()
	defer k.lock.Unlock()
	delete(k.pods, p.uid)
}

func (k *kubelet) halt(p *pod) {
	k.lock.Lock()
	n := p.node
	k.lock.Unlock()
	n.stop()
	<-n.done
	k.peers.remove(p.ip)
}

// restart kills H2O in a pod and starts it again in place. It returns when the
// API server has been told.
func (k *kubelet) restart(ctx context.Context, uid types.UID) error {
	k.lock.Lock()
	p := k.pods[uid]
	k.lock.Unlock()
	if p == nil {
		return fmt.Errorf("there is no pod %s", uid)
	}
	k.halt(p)
	k.lock.Lock()
	defer k.lock.Unlock()
	p.restarts++
	p.started = metav1.Now()
	k.start(ctx, p)
	return nil
}

// write tells the API server how a pod is.
func (k *kubelet) write(ctx context.Context, p *pod, n *node, ready bool) {
	k.slots <- struct{}{}
	defer func() { <-k.slots }()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.uid}, "status": k.status(p, ready)})
	if err != nil {
		k.abort(err)
		return
	}
	object := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.key.Namespace, Name: p.key.Name}}
	err = k.client.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, patch))
	if client.IgnoreNotFound(err) != nil && ctx.Err() == nil {
		k.abort(fmt.Errorf("the stand-in for the kubelet cannot write a pod's status (%s): %w", n.ip, err))
	}
}

func (k *kubelet) status(p *pod, ready bool) corev1.PodStatus {
	k.lock.Lock()
	defer k.lock.Unlock()
	yes := true
	container := corev1.ContainerStatus{
		Name: containerName, Image: "h2o", ImageID: "stand-in", ContainerID: "stand-in://" + string(p.uid),
		Started: &yes, Ready: ready, RestartCount: p.restarts,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: p.started}},
	}
	if p.restarts > 0 {
		container.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "Error", FinishedAt: p.started, StartedAt: p.started}
	}
	status := corev1.PodStatus{
		Phase: corev1.PodRunning, HostIP: "10.0.0.1", PodIP: p.ip, PodIPs: []corev1.PodIP{{IP: p.ip}},
		StartTime: &p.started, QOSClass: corev1.PodQOSGuaranteed, ContainerStatuses: []corev1.ContainerStatus{container},
	}
	for kind, holds := range map[corev1.PodConditionType]bool{
		corev1.PodScheduled: true, corev1.PodInitialized: true, corev1.PodReadyToStartContainers: true,
		corev1.ContainersReady: ready, corev1.PodReady: ready,
	} {
		value := corev1.ConditionFalse
		if holds {
			value = corev1.ConditionTrue
		}
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: kind, Status: value, LastTransitionTime: metav1.Now()})
	}
	return status
}
