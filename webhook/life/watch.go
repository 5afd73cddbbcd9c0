package life

import (
	"fmt"
	"maps"
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
}

// Watch remembers what the nodes of one cluster said, for as long as they all
// said the same.
type Watch struct {
	// Answers are the latest, by pod.
	Answers map[types.UID]Answer
	// Since is when they became what they are, Asked how often in a row they
	// were that, Last the time of the latest.
	Since, Last time.Time
	Asked       int
	// first is when the nodes were first asked. opened is since when each pod's
	// port was seen open, followed since when it was seen to follow, closed when
	// its port was last seen closed.
	first                    time.Time
	opened, followed, closed map[types.UID]time.Time
}

// Next gives the watch after another round of questions.
func (w Watch) Next(answers map[types.UID]Answer, now time.Time) Watch {
	next := Watch{Answers: answers, Since: now, Last: now, Asked: 1, first: w.first}
	if sameAnswers(w.Answers, answers) {
		next.Since, next.Asked = w.Since, w.Asked+1
	}
	if next.first.IsZero() {
		next.first = now
	}
	next.opened = since(w.opened, answers, now, func(a Answer) bool { return a.Open })
	next.followed = since(w.followed, answers, now, func(a Answer) bool { return a.Says == SaysFollower })
	next.closed = maps.Clone(w.closed)
	for uid, answer := range answers {
		if !answer.Open && answer.Says != SaysUnreachable {
			if next.closed == nil {
				next.closed = map[types.UID]time.Time{}
			}
			next.closed[uid] = now
		}
	}
	maps.DeleteFunc(next.closed, func(uid types.UID, _ time.Time) bool { _, asked := answers[uid]; return !asked })
	return next
}

// since gives since when something has held for each pod. One that cannot be
// reached is taken to be as it was.
func since(before map[types.UID]time.Time, answers map[types.UID]Answer, now time.Time, holds func(Answer) bool) map[types.UID]time.Time {
	next := map[types.UID]time.Time{}
	for uid, answer := range answers {
		earlier, held := before[uid]
		switch {
		case held && (holds(answer) || answer.Says == SaysUnreachable):
			next[uid] = earlier
		case holds(answer):
			next[uid] = now
		}
	}
	return next
}

func sameAnswers(a, b map[types.UID]Answer) bool {
	if len(a) != len(b) || len(a) == 0 {
		return false
	}
	for uid, answer := range a {
		if other, has := b[uid]; !has || other != answer {
			return false
		}
	}
	return true
}

// Bounds on how long the nodes may say something before it is believed.
const (
	// provedAfter is how often in a row the answers of a whole cluster must be
	// heard.
	provedAfter = 3
	// wrongAfter is how long nodes that all have stopped looking may go without
	// being one cloud. They agree on one within 3.5 s, measured on two cores.
	wrongAfter = 10 * time.Second
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
		switch answer := w.Answers[p.UID]; {
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

// clouded counts the nodes that have stopped looking.
func (v view) clouded() int { return len(v.leaders) + len(v.followers) }

// cloudAfter is how soon after the beginning of its lookup a node can follow: it
// sleeps for a second, opens its port and agrees with the others.
const cloudAfter = 4 * time.Second

// stranger says why the one that leads is not whom the others follow, empty where
// it may be: they follow one that is gone, and it came when they did so already.
// The nodes are whole, as far as they say, and could first meet at met. Where
// they followed before we looked, times tell: byReadiness those of the kubelet too.
func (w Watch) stranger(v view, met time.Time, byReadiness bool) string {
	leader := &v.leaders[0]
	for i := range v.followers {
		f := &v.followers[i]
		looked := later(f.Started.Add(firstLookup), met)
		followed := w.followed[f.UID]
		unseen := followed.Equal(w.first) && leader.Created.After(looked.Add(cloudAfter))
		if byReadiness && !f.Ready && f.ReadySince.After(leader.Started) {
			unseen = false // the kubelet saw it turn
		}
		if unseen || !followed.After(w.closed[leader.UID]) {
			return fmt.Sprintf("%s followed another leader before %s was there", f.Name, leader.Name)
		}
	}
	return ""
}

// wrong says why the nodes will never be one cloud, empty while they may.
func (w Watch) wrong(v view, now time.Time, dnsTTL time.Duration) string {
	switch had := now.Sub(w.Since); {
	case v.whole() || v.clouded() == 0:
		return ""
	case v.clouded() == v.wanted && had >= wrongAfter:
		return v.split()
	case v.clouded() > 0 && len(v.looking) > 0 && v.clouded()+len(v.looking) == v.wanted && had >= wrongAfter+dnsTTL:
		return fmt.Sprintf("%s went on without %s, still looking for the others", names(append(v.leaders, v.followers...)), names(v.looking))
	}
	for _, p := range append(v.silent, v.looking...) {
		if p.Exit != nil && p.Exit.Code == exitLocked && p.Restarts > 0 && v.clouded()+len(v.silent)+len(v.looking) == v.wanted {
			return fmt.Sprintf("%s may not join the others, which went on without it (%s)", p.Name, p.Exit)
		}
	}
	return ""
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
