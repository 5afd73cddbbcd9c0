package life

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Says is what H2O's probe server in a pod says to GET /kubernetes/isLeaderNode.
type Says string

// What a node can say.
const (
	// SaysNothing: nobody listens (yet), or the answer makes no sense.
	SaysNothing Says = "nothing"
	// SaysLeader: 200. It leads a cloud, or still looks for its peers.
	SaysLeader Says = "leader"
	// SaysFollower: 404. It is in a cloud that another node leads.
	SaysFollower Says = "follower"
	// SaysUnreachable: the pod's network does not answer at all.
	SaysUnreachable Says = "unreachable"
)

// Answer is what one node said at one time.
type Answer struct {
	Says Says
	// Open: port 54321 is open, so the node has stopped looking for peers and
	// is in a cloud. Before that every node says that it is the leader.
	Open bool
	// Size is of the cloud that it leads, by H2O itself. Only the one leader of a
	// cluster that may just have formed is asked for it.
	Size Size
}

// Size is how many nodes a cloud has, or why that is not known.
type Size int

// The sizes that are none.
const (
	// SizeUnknown: not asked, or H2O tells only those whom it knows.
	SizeUnknown Size = 0
	// SizeWaits: H2O's REST API keeps callers waiting, as it does while it starts,
	// or its nodes have not agreed yet.
	SizeWaits Size = -1
)

// Watch remembers what the nodes of one cluster said, for as long as they all
// said the same. There is one for every cluster, so it is small.
type Watch struct {
	// Since is when the answers became what they are, Asked how often in a row
	// they were that, Last the time of the latest.
	Since, Last time.Time
	Asked       int
	// first is when the nodes were first asked.
	first time.Time
	nodes []node
}

// node is one pod that was asked.
type node struct {
	uid    types.UID
	answer Answer // the latest
	// opened is when the port was first seen open, heard when a node that had been
	// asked in vain first said something.
	opened, heard time.Time
}

// Next gives the watch after another round of questions.
func (w Watch) Next(answers map[types.UID]Answer, now time.Time) Watch {
	next := Watch{Since: now, Last: now, Asked: 1, first: w.first, nodes: make([]node, 0, len(answers))}
	same := len(answers) == len(w.nodes) && len(answers) > 0
	for uid, answer := range answers {
		before, asked := w.of(uid)
		n := node{uid, answer, before.opened, before.heard}
		if answer.Open && n.opened.IsZero() {
			n.opened = now
		} else if !answer.Open {
			n.opened = time.Time{}
		}
		if n.heard.IsZero() && asked && !before.answer.heard() && answer.heard() {
			n.heard = now
		}
		same = same && asked && before.answer.Says == answer.Says && before.answer.Open == answer.Open
		next.nodes = append(next.nodes, n)
	}
	if same {
		next.Since, next.Asked = w.Since, w.Asked+1
	}
	if next.first.IsZero() {
		next.first = now
	}
	return next
}

// of gives what is known of a pod, and whether it was asked.
func (w Watch) of(uid types.UID) (node, bool) {
	for i := range w.nodes {
		if w.nodes[i].uid == uid {
			return w.nodes[i], true
		}
	}
	return node{}, false
}

func (a Answer) heard() bool { return a.Says == SaysLeader || a.Says == SaysFollower }

// Bounds on how long the nodes may say something before it is believed.
const (
	// provedAfter is how often in a row the answers of a whole cluster must be
	// heard.
	provedAfter = 3
	// provedSlowly is how long they must be heard where H2O does not tell us the
	// size of its cloud: longer than nodes are between lookup and cloud, which was
	// 3 s with fifteen programs waiting for each core.
	provedSlowly = 10 * time.Second
	// wrongAfter is how long nodes that all have stopped looking may go without
	// being one cloud. They agree on one within 3.5 s, measured on two cores;
	// see Watch.patience for slower ones.
	wrongAfter  = 10 * time.Second
	maxPatience = time.Minute
	// silentAfter is how long a member may be silent before it is said.
	silentAfter = 3 * time.Second
	// readyAfter is how long the kubelet's word must hold where pods cannot be
	// asked: two periods of the probe and one more.
	readyAfter = 15 * time.Second
)

// view is what the answers mean for one cluster of wanted nodes.
type view struct {
	leaders, followers, silent, looking, unreachable []Pod
	wanted                                           int
}

func (w Watch) view(pods []Pod, wanted int) view {
	v := view{wanted: wanted}
	for i := range pods {
		p := pods[i]
		n, _ := w.of(p.UID)
		switch answer := n.answer; {
		case answer.Says == SaysFollower:
			v.followers = append(v.followers, p)
		case answer.Says == SaysLeader && answer.Open:
			v.leaders = append(v.leaders, p)
		case answer.Says == SaysLeader:
			v.looking = append(v.looking, p)
		case answer.Says == SaysUnreachable:
			v.unreachable = append(v.unreachable, p)
		default:
			v.silent = append(v.silent, p)
		}
	}
	return v
}

// whole: exactly one node leads and all others follow. Every cloud has a leader
// among its members, so that is one cloud of all of them.
func (v view) whole() bool {
	return v.wanted > 0 && len(v.leaders) == 1 && len(v.followers) == v.wanted-1
}

// proved says whether the answers of a whole cluster are believed. A node whose
// lookup is over and that has no cloud yet, not even of itself, says that it
// follows, and one that is a little behind that it leads: on a busy machine for
// seconds, long before they are one cloud. So the leader's own word is needed.
// Source: water.k8s.probe.KubernetesLeaderNodeProbeHandler and
// water.H2ONode.isLeaderNode, where a cloud of nobody has no leader.
func (w Watch) proved(v view, now time.Time) bool {
	if !v.whole() || w.Asked < provedAfter {
		return false
	}
	size := w.size(v)
	return size == Size(v.wanted) || size == SizeUnknown && now.Sub(w.Since) >= provedSlowly
}

// size is what the one leader says.
func (w Watch) size(v view) Size {
	n, _ := w.of(v.leaders[0].UID)
	return n.answer.Size
}

// clouded counts the nodes that have stopped looking.
func (v view) clouded() int { return len(v.leaders) + len(v.followers) }

// wrong says why the nodes will never be one cloud, empty while they may.
func (w Watch) wrong(v view, now time.Time, dnsTTL time.Duration) string {
	patience := w.patience(v)
	switch had := now.Sub(w.Since); {
	case v.clouded() == 0:
		return ""
	case v.whole():
		if size := w.size(v); size > 0 && size != Size(v.wanted) && had >= patience {
			return fmt.Sprintf("the cloud that %s leads counts %d of %d nodes", v.leaders[0].Name, size, v.wanted)
		}
		return ""
	case v.clouded() == v.wanted && had >= patience:
		return v.split()
	case v.clouded() > 0 && len(v.looking) > 0 && v.clouded()+len(v.looking) == v.wanted && had >= patience+dnsTTL:
		return fmt.Sprintf("%s went on without %s, still looking for the others", names(append(v.leaders, v.followers...)), names(v.looking))
	}
	for _, p := range append(v.silent, v.looking...) {
		if p.Exit != nil && p.Exit.Code == exitLocked && p.Restarts > 0 && v.clouded()+len(v.silent)+len(v.looking) == v.wanted {
			return fmt.Sprintf("%s may not join the others, which went on without it (%s)", p.Name, p.Exit)
		}
	}
	return ""
}

// patience is how long nodes may need to agree: on a busy machine longer, as it
// took them longer already until they said anything at all, 3 s on an idle one.
func (w Watch) patience(v view) time.Duration {
	longest := wrongAfter
	for _, p := range slices.Concat(v.leaders, v.followers) {
		if n, _ := w.of(p.UID); !n.heard.IsZero() && !p.Started.IsZero() {
			longest = max(longest, 3*n.heard.Sub(p.Started))
		}
	}
	return min(longest, maxPatience)
}

// exitLocked is H2O's exit code where a cloud takes no more nodes.
const exitLocked = 255

// split describes nodes that are all in clouds, but not in one.
func (v view) split() string {
	if len(v.leaders) == 0 {
		return "no node answers as the leader"
	}
	return fmt.Sprintf("%d clouds instead of one: %s each answer as the leader", len(v.leaders), names(v.leaders))
}

func names(pods []Pod) string {
	all := make([]string, 0, len(pods))
	for i := range pods {
		all = append(all, pods[i].Name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
