package life_test

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

type state int

const (
	booting state = iota
	looking
	opened // port 54321 is open: alone, or in a cloud
	dead
)

const (
	lookupTimeout = 180 * time.Second
	agreeAfter    = 3500 * time.Millisecond
)

// process is one run of H2O in a pod.
type process struct {
	pod   *simPod
	ip    string
	state state
	since time.Time
	// found only ever grows, and becomes the flatfile.
	found map[string]bool
	cloud *cloud
}

// cloud is H2O's: once a member dies it goes on as if nothing had happened.
type cloud struct {
	members map[string]*process // by address, as they were let in
	began   map[string]*process // the first run of each: what is stored is with those
	leader  string
	locked  bool
}

// lookup is one address that one run of H2O found.
type lookup struct {
	by    *process
	found string
}

// boot starts a run: the probe server is up before the lookup begins.
func (w *world) boot(p *simPod) *process {
	h := &process{pod: p, ip: p.IP, found: map[string]bool{}}
	w.after(w.between(2100*time.Millisecond, 5*time.Second), func() {
		if h.state == booting {
			h.state, h.since = looking, w.now
			w.look(h)
		}
	})
	return h
}

// look asks DNS once a second, until exactly as many are found as are expected,
// or for too long. An address that was found once is never dropped.
func (w *world) look(h *process) {
	if h.state != looking {
		return
	}
	if !h.pod.cutOff {
		for _, ip := range w.resolve() {
			if !h.found[ip] {
				h.found[ip] = true
				w.lookups = append(w.lookups, lookup{h, ip})
			}
		}
	}
	if len(h.found) != h.pod.count && w.now.Sub(h.since) < lookupTimeout {
		w.after(time.Second, func() { w.look(h) })
		return
	}
	h.found[h.ip] = true
	w.after(1500*time.Millisecond, func() { w.open(h) })
}

func (w *world) open(h *process) {
	if h.state != looking {
		return
	}
	h.state = opened
	w.tell("%s goes on with %v", h.pod.UID, slices.Sorted(maps.Keys(h.found)))
	if h.pod.count == 1 { // a dead address more makes no difference to one alone
		h.found = map[string]bool{h.ip: true}
		w.agree()
		return
	}
	w.after(agreeAfter, w.agree)
}

// agree has nodes that are alone become clouds where they can. All that are in a
// flatfile must live and know nobody else: one stale address, and each stays alone.
func (w *world) agree() {
	for _, h := range w.processes() {
		if h.state == opened && h.cloud == nil && !h.pod.cutOff {
			w.join(h)
		}
	}
}

func (w *world) join(h *process) {
	others := map[string]*process{}
	for ip := range h.found {
		p := w.reach(ip)
		if p == nil {
			return
		}
		others[ip] = p
	}
	for _, p := range others {
		c := p.cloud
		switch {
		case c == nil:
		case c.members[h.ip] != nil: // the same address again: let in with an empty store
			h.cloud, c.members[h.ip] = c, h
			if g := w.status.Generation; g != nil && g.Members[h.pod.Name].Restarts == int32(h.pod.crashes) {
				c.began[h.ip] = h // it was known as a member so
			}
			return
		case c.locked: // exits after some seconds, and tries again for ever
			w.after(4*time.Second, func() {
				if h.cloud == nil && h.pod.process == h {
					w.crash(h.pod, 255)
				}
			})
			return
		}
	}
	for _, p := range others {
		if p.state != opened {
			return
		}
		for ip := range p.found {
			if others[ip] == nil {
				return
			}
		}
		if p.cloud != nil {
			for ip := range p.cloud.members {
				if others[ip] == nil {
					return
				}
			}
		}
	}
	c := &cloud{members: others, began: maps.Clone(others), leader: slices.Min(slices.Collect(maps.Keys(others)))}
	for _, p := range others {
		if p.cloud != nil {
			c.leader = p.cloud.leader // who comes late follows
		}
	}
	for _, p := range others {
		p.cloud = c
	}
	w.tell("a cloud of %v", slices.Sorted(maps.Keys(c.members)))
	if len(others) > 0 && w.chance(2) {
		w.after(w.between(time.Second, 30*time.Second), func() { c.locked = true })
	}
}

// reach gives the run of H2O at an address, as others see it.
func (w *world) reach(ip string) *process {
	for _, h := range w.processes() {
		if h.ip == ip && (h.state == looking || h.state == opened) && !h.pod.cutOff {
			return h
		}
	}
	return nil
}

func (w *world) processes() []*process {
	all := slices.Clone(w.lost)
	for _, p := range w.pods {
		if p.process != nil {
			all = append(all, p.process)
		}
	}
	return all
}

// answers are what the pods say to the probe's question, and whether 54321 is open.
func (w *world) answers(pods []life.Pod) map[types.UID]life.Answer {
	given := map[types.UID]life.Answer{}
	for i := range pods {
		at := slices.IndexFunc(w.pods, func(p *simPod) bool { return p.UID == pods[i].UID })
		switch {
		case pods[i].IP == "":
		case at < 0 || w.pods[at].cutOff:
			given[pods[i].UID] = life.Answer{Says: life.SaysUnreachable}
		default:
			given[pods[i].UID] = w.pods[at].process.answer()
		}
	}
	return given
}

func (h *process) answer() life.Answer {
	switch {
	case h == nil || h.state == booting || h.state == dead:
		return life.Answer{Says: life.SaysNothing}
	case h.state == looking:
		return life.Answer{Says: life.SaysLeader}
	case h.cloud == nil:
		return life.Answer{Says: life.SaysLeader, Open: true, Size: 1} // a cloud of its own
	case h.cloud.leader == h.ip:
		return life.Answer{Says: life.SaysLeader, Open: true, Size: life.Size(len(h.cloud.members))}
	default:
		return life.Answer{Says: life.SaysFollower, Open: true}
	}
}

// intact says whether a run is in a cloud of a size that is as it was formed.
func (h *process) intact(size int) bool {
	if h == nil || h.state != opened || h.cloud == nil || len(h.cloud.members) != size {
		return false
	}
	for ip, member := range h.cloud.members {
		if member.state != opened || h.cloud.began[ip] != member || member.pod.gone {
			return false
		}
	}
	return true
}
