package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
)

const (
	checkEvery = time.Second
	askEvery   = 2 * time.Second
	askLimit   = 3 * time.Second
	// believedAfter is how long something wrong must last: the clocks of DNS, of
	// the API server and of this program's watches are not one.
	believedAfter = 3 * time.Second
)

// report is what a stand-in tells of itself (e2e/standin).
type report struct {
	Address  string               `json:"address"`
	Started  time.Time            `json:"started"`
	Expected int                  `json:"expected"`
	Seen     map[string]time.Time `json:"seen"`
	Ended    string               `json:"ended"`
	Cloud    []string             `json:"cloud"`
	at       time.Time            // when it was asked for
}

func (r *report) addresses() []string { return slices.Sorted(maps.Keys(r.Seen)) }

// check looks all the time for what must not be.
func (w *watcher) check(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for asked := (time.Time{}); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if time.Since(asked) >= askEvery {
			asked = time.Now()
			w.askAll(ctx)
		}
		w.lock.Lock()
		for _, c := range w.clusters {
			c.checkLookups()
			c.checkFormed()
		}
		w.lock.Unlock()
	}
}

// maxAsking bounds how many nodes are asked at the same time.
const maxAsking = 16

// askAll asks all nodes for their reports, through the API server.
func (w *watcher) askAll(ctx context.Context) {
	w.lock.Lock()
	var all []*pod
	for _, p := range w.pods {
		if p.gone.IsZero() && p.address != "" {
			all = append(all, p)
		}
	}
	w.lock.Unlock()
	slots, done := make(chan struct{}, maxAsking), make(chan struct{}, len(all))
	for _, p := range all {
		slots <- struct{}{}
		go func() {
			r := w.ask(ctx, p.name)
			w.lock.Lock()
			if r != nil && p.gone.IsZero() && r.Address == p.address { // not of another pod of the same name
				p.report = r
			}
			w.lock.Unlock()
			<-slots
			done <- struct{}{}
		}()
	}
	for range all {
		<-done
	}
}

// ask gives nil where there is no answer: the node only starts, or is going.
func (w *watcher) ask(ctx context.Context, name string) *report {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	at := time.Now()
	text, err := w.client.CoreV1().Pods(w.space.Namespace).ProxyGet("http", name, strconv.Itoa(h2otest.PortProbe), "standin", nil).DoRaw(ctx)
	if err != nil {
		return nil
	}
	r := &report{at: at}
	if json.Unmarshal(text, r) != nil {
		return nil
	}
	return r
}

// checkLookups finds nodes whose lookup saw another generation, and counts them
// unless they go with the restart that is under way.
func (c *cluster) checkLookups() {
	for _, p := range c.present() {
		if !p.alive() || p.report == nil || p.counted {
			continue
		}
		if why := c.foreign(p); why != p.mixed {
			p.mixed, p.mixedSince = why, time.Now()
		}
		free := !c.freeSince.IsZero() && time.Since(c.freeSince) > believedAfter
		if p.mixed != "" && free && time.Since(p.mixedSince) > believedAfter {
			p.counted = true
			c.score.count(mixed, c.name, "%s saw %s\n%s", p.name, p.mixed, c.story())
		}
	}
}

// foreign says what a lookup saw that is not of the pod's own generation.
func (c *cluster) foreign(p *pod) string {
	var found []string
	for _, address := range p.report.addresses() {
		if address == p.report.Address {
			continue
		}
		at := p.report.Seen[address]
		var held []*pod
		for _, other := range c.holders[address] {
			if other.addressed.Before(at.Add(believedAfter)) && (other.gone.IsZero() || other.gone.After(at.Add(-believedAfter))) {
				held = append(held, other)
			}
		}
		own := slices.ContainsFunc(held, func(other *pod) bool { return c.sameGeneration(p, other) })
		if !own {
			found = append(found, fmt.Sprintf("%s at %s, of %s", address, at.UTC().Format("15:04:05.000"), c.whose(address)))
		}
	}
	return strings.Join(found, "; ")
}

// sameGeneration: of one set and revision, and the other was not yet going when
// this one started.
func (c *cluster) sameGeneration(p, other *pod) bool {
	return other.set == p.set && other.revision == p.revision && (other.deleting.IsZero() || other.deleting.After(p.report.Started))
}

func (c *cluster) whose(address string) string {
	var said []string
	for _, p := range c.holders[address] {
		said = append(said, fmt.Sprintf("%s (revision %s, deleted %s)", p.name, p.revision, p.deleting.UTC().Format("15:04:05.000")))
	}
	if len(said) == 0 {
		return "nobody known"
	}
	return strings.Join(said[max(0, len(said)-3):], ", ")
}

// checkFormed finds clusters that are called Formed and are not one cloud.
func (c *cluster) checkFormed() {
	g := c.status.Generation
	if g == nil || c.checked || c.status.Phase != "Formed" || time.Since(c.formed) < believedAfter || time.Since(c.lastEvent) < believedAfter {
		return
	}
	var addresses []string
	var members []*pod
	for _, m := range g.Members {
		p := c.pods[m.UID]
		if p == nil || !p.alive() || p.restarts != m.Restarts {
			return // it is about to be restarted
		}
		addresses, members = append(addresses, p.address), append(members, p)
	}
	slices.Sort(addresses)
	for _, p := range members {
		if p.report == nil || p.report.at.Before(c.formed) {
			return // not asked yet
		}
	}
	c.checked = true
	for _, p := range members {
		if cloud := slices.Sorted(slices.Values(p.report.Cloud)); !slices.Equal(cloud, addresses) || len(cloud) != p.report.Expected {
			c.score.count(partial, c.name, "it is called Formed, and %s is in a cloud of %v\n%s", p.name, cloud, c.story())
			return
		}
	}
}
