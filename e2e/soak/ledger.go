package main

import (
	"maps"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// pod is one pod that was ever seen.
type pod struct {
	uid            types.UID
	set, name      string
	address        string
	revision       string
	restarts       int32
	dies           int32     // how many restarts it will have when the kubelet has noticed
	addressed      time.Time // when its address was first seen
	deleting, gone time.Time // zero for not
	report         *report   // its latest
	mixed          string    // what its lookup saw, empty for nothing wrong
	mixedSince     time.Time
	counted        bool
}

func (p *pod) alive() bool { return p.deleting.IsZero() && p.gone.IsZero() }

// ledger is all that was seen of all clusters.
type ledger struct {
	lock     sync.Mutex
	pods     map[types.UID]*pod
	holders  map[string][]*pod // by address, in the order of time
	clusters map[string]*cluster
	score    *score
}

// cluster is what was seen of one, and what we did to it.
type cluster struct {
	*ledger
	name      string
	set       *appsv1.StatefulSet
	status    life.Status
	freeSince time.Time // since when no restart is under way; zero while one is
	formed    time.Time // when the generation that is known formed
	members   map[string]life.Member
	checked   bool // the generation was found to be one cloud
	calm      bool // settled, and nothing was done to it since
	events    int  // since it was last settled
	restarts  int  // as the status counted when it was last settled
	log       []string
	lastEvent time.Time
}

// notePod takes a pod as the API server has it.
func (l *ledger) notePod(object *corev1.Pod, gone bool) {
	l.lock.Lock()
	defer l.lock.Unlock()
	set := object.Labels["app"]
	p, known := l.pods[object.UID]
	if !known {
		p = &pod{uid: object.UID, set: set, name: object.Name, revision: object.Labels[appsv1.ControllerRevisionHashLabelKey]}
		l.pods[object.UID] = p
	}
	now := time.Now()
	moved := ""
	if !known {
		moved = "a new pod came"
	}
	if p.address == "" && object.Status.PodIP != "" {
		p.address, p.addressed = object.Status.PodIP, now
		l.holders[p.address] = append(l.holders[p.address], p)
	}
	if object.DeletionTimestamp != nil && p.deleting.IsZero() {
		p.deleting, moved = now, "it was deleted"
	}
	if gone && p.gone.IsZero() {
		p.gone, moved = now, "it is gone"
	}
	for i := range object.Status.ContainerStatuses {
		if n := object.Status.ContainerStatuses[i].RestartCount; n > p.restarts {
			p.restarts, moved = n, "its container was restarted"
		}
	}
	if c := l.clusters[set]; c != nil && moved != "" && c.calm {
		c.calm = false
		l.score.count(needless, c.name, "%s (%s): %s, and nobody did anything since it was settled\n%s", p.name, p.uid, moved, c.story())
	}
}

// noteSet takes a set as the API server has it.
func (l *ledger) noteSet(set *appsv1.StatefulSet) {
	l.lock.Lock()
	defer l.lock.Unlock()
	c := l.clusters[set.Name]
	if c == nil {
		return
	}
	before := c.status
	c.set, c.status = set, life.Read(set)
	switch {
	case c.status.Restart != nil:
		c.freeSince = time.Time{}
	case c.freeSince.IsZero():
		c.freeSince = time.Now()
	}
	if before.Phase != c.status.Phase || before.Restarts != c.status.Restarts {
		c.say("phase %s, %d restarts, last %s: %s", c.status.Phase, c.status.Restarts, c.status.LastCause, c.status.Message)
	}
	if g := c.status.Generation; g != nil && !g.Formed.Equal(c.formed) {
		c.noteFormed(g)
	}
}

// noteFormed counts a restart: all members of a formed cluster are others than
// those of the one before.
func (c *cluster) noteFormed(g *life.Generation) {
	before := c.members
	c.formed, c.members, c.checked = g.Formed, maps.Clone(g.Members), false
	if before == nil {
		return
	}
	var kept []string
	for _, m := range before {
		for name, other := range g.Members {
			if m.UID == other.UID {
				kept = append(kept, name)
			}
		}
	}
	if len(kept) > 0 {
		slices.Sort(kept)
		c.score.count(partial, c.name, "formed again with %v of the cluster before\n%s", kept, c.story())
		return
	}
	c.score.restarted()
}
