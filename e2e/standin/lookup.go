package main

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Why a lookup ended.
const (
	endCount   = "count"
	endTimeout = "timeout"
)

const (
	lookupEvery  = time.Second
	lookupWithin = 5 * time.Second // one query
)

// lookUp finds the addresses of the flatfile: all that the service's name ever
// gave. It ends when they are exactly as many as expected, or at the timeout.
// Source: water.k8s.lookup.KubernetesDnsLookup.
func (n *node) lookUp(ctx context.Context) {
	start := time.Now()
	resolver := &net.Resolver{PreferGo: true}
	for {
		for _, address := range n.query(ctx, resolver) {
			n.found(address)
		}
		time.Sleep(lookupEvery) // H2O sleeps also after it has found everybody
		switch found := n.foundCount(); {
		case found == n.settings.count:
			n.endLookup(endCount)
			return
		case n.settings.timeout > 0 && time.Since(start) >= n.settings.timeout:
			n.endLookup(endTimeout)
			return
		}
	}
}

// query asks once. No answer is none: H2O goes on asking.
func (n *node) query(ctx context.Context, resolver *net.Resolver) []string {
	ctx, cancel := context.WithTimeout(ctx, lookupWithin)
	defer cancel()
	_, targets, err := resolver.LookupSRV(ctx, "", "", n.settings.service+".") // the dot: no search domains
	if err != nil {
		fmt.Printf("lookup: %v\n", err)
		return nil
	}
	var addresses []string
	for _, target := range targets {
		found, err := resolver.LookupIP(ctx, "ip4", target.Target)
		if err != nil {
			fmt.Printf("lookup: %v\n", err)
			continue
		}
		for _, ip := range found {
			addresses = append(addresses, ip.String())
		}
	}
	return addresses
}

// found adds an address to the set, from which nothing is ever removed.
func (n *node) found(address string) {
	n.lock.Lock()
	defer n.lock.Unlock()
	if _, has := n.seen[address]; !has {
		n.seen[address] = time.Now()
		fmt.Printf("lookup: found %s, %d so far\n", address, len(n.seen))
	}
}

func (n *node) foundCount() int {
	n.lock.Lock()
	defer n.lock.Unlock()
	return len(n.seen)
}

func (n *node) endLookup(why string) {
	n.lock.Lock()
	defer n.lock.Unlock()
	n.ended = why
	fmt.Printf("lookup: ended by %s with %d addresses\n", why, len(n.seen))
}
