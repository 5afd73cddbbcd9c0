package main

import (
	"fmt"
	"slices"
	"time"
)

// Targets of the reconcilers.
const (
	maxWrites   = 0
	maxProbes   = 1.0 // a minute and node
	maxResident = 64  // MiB
	maxReaction = time.Second
	maxRatio    = 1.5
)

// report is all that was measured.
type report struct {
	idle, forming usage
	formed        time.Duration
	steady        steady
	restart       restart
	first         []time.Duration
	losses        []loss
}

// steady is a time in which nothing happened.
type steady struct {
	before, after usage
	writes        map[string]float64 // by anybody, by verb and resource
	nodes         int
	probes, most  int64
	same          bool // no pod was replaced
}

// restart is a restart of the webhook beside formed clusters.
type restart struct {
	ready, looked time.Duration
	usage         usage
	writes        map[string]float64
	same          bool
}

func (u usage) String() string {
	return fmt.Sprintf("resident %.1f MiB (%.1f of its own, %.1f of its program file), peak %.1f MiB, heap %.1f MiB, %.1f s of CPU",
		u.resident, u.anonymous, u.mapped, u.peak, u.heap, u.cpu.Seconds())
}

func (r *report) print() {
	minutes := r.steady.after.at.Sub(r.steady.before.at).Minutes()
	perNode := float64(r.steady.probes) / float64(r.steady.nodes) / minutes
	writes := total(r.steady.writes)
	fmt.Printf("\n%-44s %10s   %s\n", "", "measured", "target")
	row("steady: writes, by anybody, beside leases", fmt.Sprintf("%.0f", writes), fmt.Sprint(maxWrites))
	row("steady: requests of the webhook, leases too", fmt.Sprintf("%.0f", r.steady.after.writes-r.steady.before.writes), fmt.Sprintf("%.0f leases", minutes*30))
	row("steady: probes a minute and node", fmt.Sprintf("%.2f", perNode), fmt.Sprintf("%.0f", maxProbes))
	row("steady: most probes of one node", fmt.Sprint(r.steady.most), fmt.Sprintf("in %.1f min", minutes))
	row("steady: resident", fmt.Sprintf("%.1f MiB", r.steady.after.resident), fmt.Sprintf("%d MiB", maxResident))
	row("steady: peak", fmt.Sprintf("%.1f MiB", r.steady.after.peak), fmt.Sprintf("%d MiB", maxResident))
	row("steady: CPU a minute", fmt.Sprintf("%.2f s", (r.steady.after.cpu-r.steady.before.cpu).Seconds()/minutes), "")
	row("without clusters: resident", fmt.Sprintf("%.1f MiB", r.idle.resident), "")
	row("while clusters form: peak", fmt.Sprintf("%.1f MiB", r.forming.peak), "")
	row("after a restart: ready", seconds(r.restart.ready), "")
	row("after a restart: all clusters seen", seconds(r.restart.looked), "")
	row("after a restart: peak", fmt.Sprintf("%.1f MiB", r.restart.usage.peak), fmt.Sprintf("%d MiB", maxResident))
	row("after a restart: writes", fmt.Sprintf("%.0f", total(r.restart.writes)), "0")
	fences, deletes, again := r.split()
	row("member lost: fence up, p50", seconds(p50(fences)), seconds(maxReaction))
	row("member lost: fence up, max", seconds(slices.Max(fences)), seconds(maxReaction))
	row("member lost: other pods going, p50", seconds(p50(deletes)), seconds(maxReaction))
	row("member lost: other pods going, max", seconds(slices.Max(deletes)), seconds(maxReaction))
	row("first formation, p50 (stand-in)", seconds(p50(r.first)), "")
	row("from a lost member to formed, p50 (stand-in)", seconds(p50(again)), "")
	ratio := p50(again).Seconds() / p50(r.first).Seconds()
	row("ratio of the two", fmt.Sprintf("%.2f", ratio), fmt.Sprint(maxRatio))
	for what, n := range r.steady.writes {
		fmt.Printf("written in the steady state: %s, %.0f times\n", what, n)
	}
	for what, n := range r.restart.writes {
		fmt.Printf("written after the restart: %s, %.0f times\n", what, n)
	}
	if !r.steady.same || !r.restart.same {
		fmt.Println("pods were replaced while nothing happened")
	}
	fmt.Printf("cost: %.0f writes, %.2f probes/min/cluster, %.1f MiB, %.3f s reaction p50, %.2f ratio\n",
		writes, perNode, r.steady.after.resident, p50(deletes).Seconds(), ratio)
}

func row(what, measured, target string) { fmt.Printf("%-44s %10s   %s\n", what, measured, target) }

// split gives the times of the losses by what they measure.
func (r *report) split() (fences, deletes, again []time.Duration) {
	for _, l := range r.losses {
		fences, deletes, again = append(fences, l.fence), append(deletes, l.delete), append(again, l.formed)
	}
	return fences, deletes, again
}

func p50(times []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(times))[len(times)/2]
}

func total(writes map[string]float64) float64 {
	n := 0.0
	for _, w := range writes {
		n += w
	}
	return n
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }
