package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// heartbeat is what a node tells the others once a second.
type heartbeat struct {
	Name   string // of the cloud
	Hash   uint64 // over all nodes that it has heard of
	Size   int    // of the cloud that it is in
	Common bool   // it knows that all agree
}

// stage is how far a node is with its start.
type stage int

const (
	// looking: it looks for its peers, or opens its port, and calls itself the leader.
	looking stage = iota
	// starting: its port is open and it has no cloud yet, so nobody leads it.
	starting
	// clouded: it is in a cloud, of itself alone at first.
	clouded
)

// node is one node. Its membership rules are H2O's, which is not Paxos: it
// counts every node that it ever heard of, and takes them all for the new cloud
// when all of them count the same. Nobody is ever dropped, so one that died
// keeps the others from agreeing for ever.
// Source: water.Paxos, water.HeartBeatThread and water.UDPHeartbeat.
type node struct {
	settings settings
	host     string
	address  string
	started  time.Time

	lock     sync.Mutex
	seen     map[string]time.Time // the lookup's addresses, by when first
	ended    string               // why the lookup ended, empty before
	stage    stage
	proposed map[string]heartbeat // the latest of all nodes ever heard of, itself too
	cloud    []string             // the members agreed on, in order
	common   bool
	since    time.Time // of the cloud
}

func newNode(ctx context.Context, s settings, started time.Time) (*node, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("cannot find the own name: %w", err)
	}
	addresses, err := (&net.Resolver{PreferGo: true}).LookupIP(ctx, "ip4", host) // of /etc/hosts
	if err != nil {
		return nil, fmt.Errorf("cannot find the own address: %w", err)
	}
	if len(addresses) == 0 {
		return nil, errors.New("cannot find the own address")
	}
	n := &node{settings: s, host: host, address: addresses[0].String(), started: started, seen: map[string]time.Time{}, since: time.Now()}
	n.cloud = []string{n.address}
	n.proposed = map[string]heartbeat{n.address: {}}
	n.tellSelf()
	return n, nil
}

// heard takes another node's heartbeat.
func (n *node) heard(from string, h heartbeat) {
	n.lock.Lock()
	defer n.lock.Unlock()
	if h.Name != n.settings.name || from == n.address {
		return
	}
	if _, known := n.proposed[from]; !known {
		n.common = false
		fmt.Printf("cloud: heard of %s\n", from)
	}
	n.proposed[from] = h
	n.tellSelf()
	n.agree()
}

// agree looks whether all nodes count the same ones.
func (n *node) agree() {
	if n.common {
		return
	}
	own := n.proposed[n.address]
	for _, h := range n.proposed {
		if h.Hash != own.Hash {
			return
		}
	}
	if members := n.members(); !slices.Equal(members, n.cloud) {
		n.cloud, n.since = members, time.Now()
		n.tellSelf()
	}
	// All must have gone on to the same size, and then all must know of that.
	for _, h := range n.proposed {
		if h.Size != len(n.cloud) {
			return
		}
	}
	own = n.proposed[n.address]
	own.Common = true
	n.proposed[n.address] = own
	for _, h := range n.proposed {
		if !h.Common {
			return
		}
	}
	n.common = true
	fmt.Printf("cloud: of size %d formed: %v\n", len(n.cloud), n.cloud)
}

// tellSelf brings the own heartbeat up to date.
func (n *node) tellSelf() {
	own := n.proposed[n.address]
	hash := hashOf(n.proposed)
	n.proposed[n.address] = heartbeat{Name: n.settings.name, Hash: hash, Size: len(n.cloud), Common: n.common || own.Common && own.Hash == hash}
}

func hashOf(proposed map[string]heartbeat) uint64 {
	var sum uint64
	for address := range proposed {
		h := fnv.New64a()
		_, _ = h.Write([]byte(address)) // it never fails
		sum += h.Sum64()
	}
	return sum
}

// members are the nodes heard of, the leader first: the one with the lowest address.
func (n *node) members() []string {
	all := make([]string, 0, len(n.proposed))
	for address := range n.proposed {
		all = append(all, address)
	}
	slices.SortFunc(all, compareAddresses)
	return all
}

// compareAddresses compares IPv4 addresses, the last byte counting most.
// Source: water.H2ONode.H2Okey, water.util.ArrayUtils.encodeAsInt.
func compareAddresses(a, b string) int {
	first, second := slices.Clone(net.ParseIP(a).To4()), slices.Clone(net.ParseIP(b).To4())
	slices.Reverse(first)
	slices.Reverse(second)
	return cmp.Or(bytes.Compare(first, second), cmp.Compare(a, b))
}

// leads says whether the node answers as the leader does.
// Source: water.k8s.probe.KubernetesLeaderNodeProbeHandler.
func (n *node) leads() bool {
	n.lock.Lock()
	defer n.lock.Unlock()
	return n.stage == looking || n.stage == clouded && n.cloud[0] == n.address
}

func (n *node) enter(s stage) {
	n.lock.Lock()
	defer n.lock.Unlock()
	n.stage = s
}
