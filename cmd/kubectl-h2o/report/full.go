package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"k8s.io/cli-runtime/pkg/printers"
)

// WriteFull writes everything about one cluster, for people.
func WriteFull(out io.Writer, s *ClusterStatus, now time.Time) error {
	w := &pages{out: out, tabs: printers.GetNewTabWriter(out)}
	w.head(s, now)
	d := s.Details
	w.changes("Injected", d.Injected)
	w.changes("Outdated: the next rollout sets, and nothing restarts for it", s.Outdated)
	w.services(d)
	w.dns(d.DNS)
	w.pods(d.Pods)
	w.events(d.Events, now)
	w.lines("Warnings of an injection today", d.Warnings)
	w.certificates(d)
	var unknown []string
	for _, u := range d.Unknown {
		unknown = append(unknown, u.Message)
	}
	w.lines("Could not be looked up", unknown)
	w.lines("What to do next", d.Next)
	if err := w.tabs.Flush(); err != nil {
		return fmt.Errorf("cannot write the status: %w", err)
	}
	return nil
}

// pages writes sections; each has columns of its own.
type pages struct {
	out  io.Writer
	tabs flusher
}

func (w *pages) line(cells ...string) { fmt.Fprintln(w.tabs, strings.Join(cells, "\t")) }

// title begins a section; what is written before is aligned for itself.
func (w *pages) title(text string) {
	_ = w.tabs.Flush()                       // what goes wrong here goes wrong again at the end
	w.tabs = printers.GetNewTabWriter(w.out) // one remembers the widths of its columns
	fmt.Fprintf(w.out, "\n%s:\n", text)
}

func (w *pages) head(s *ClusterStatus, now time.Time) {
	w.line("Name:", s.Name)
	w.line("Namespace:", s.Namespace)
	w.line("Age:", ago(s.Created, now))
	phase := phaseWord(s)
	if !s.Since.IsZero() && s.NotManaged == nil {
		phase += fmt.Sprintf(", for %s, since %s", ago(s.Since, now), stamp(s.Since))
	}
	w.line("Phase:", phase)
	if s.NotManaged != nil {
		w.line("Why:", s.NotManaged.Message)
	}
	if s.Message != "" {
		w.line("Message:", s.Message)
	}
	w.line("Nodes:", fmt.Sprintf("%d formed, %d running, %d wanted", s.Nodes.Formed, s.Nodes.Running, s.Nodes.Wanted))
	w.line("Leader:", cmp.Or(s.Leader, "-"))
	restarts := restartsWord(s.Restarts)
	if !s.Restarts.Last.IsZero() {
		restarts += ", last " + stamp(s.Restarts.Last)
	}
	w.line("Restarts:", restarts)
	for _, p := range s.Problems {
		if p.Message != s.Message {
			w.line("Problem:", p.Message)
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (w *pages) lines(title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	w.title(title)
	for _, line := range lines {
		w.line("  - " + line)
	}
}

func (w *pages) changes(title string, changes []Change) {
	var lines []string
	for i := range changes {
		lines = append(lines, changes[i].Text)
	}
	w.lines(title, lines)
}

func (w *pages) services(d *Details) {
	if len(d.Services) == 0 {
		return
	}
	w.title("Services")
	w.line("  ROLE", "NAME", "OWNER", "SERVES", "SELECTS", "ADDRESSES")
	for i := range d.Services {
		s := &d.Services[i]
		serves := yesNo(len(s.Problems) == 0) // the problems are said at the top
		if s.Owner == ownerUnknown {
			serves = ownerUnknown
		}
		var addresses []string
		for _, e := range s.Addresses {
			text := e.Address
			if e.Pod != "" {
				text += " (" + e.Pod + ")"
			}
			if !e.Ready {
				text += " not ready"
			}
			addresses = append(addresses, text)
		}
		w.line("  "+s.Role, s.Name, s.Owner, serves, cmp.Or(s.Selects, "-"), cmp.Or(strings.Join(addresses, ", "), "-"))
	}
}

func (w *pages) dns(d *DNS) {
	if d == nil {
		return
	}
	w.title("DNS, as far as it follows from the endpoints")
	answers := cmp.Or(strings.Join(d.Answers, ", "), "nobody")
	if d.Unknown != "" {
		answers = "unknown (" + d.Unknown + ")"
	}
	w.line("  " + d.Name + " -> " + answers)
	if d.Problem != "" {
		w.line("  " + d.Problem)
	}
}

func (w *pages) pods(pods []Pod) {
	if len(pods) == 0 {
		return
	}
	w.title("Pods")
	w.line("  NAME", "PHASE", "READY", "MEMBER", "PROBE", "RESTARTS", "NODE", "IP", "LAST EXIT OR PROBLEM")
	for i := range pods {
		p := &pods[i]
		why := slices.Compact([]string{p.LastExit, p.Problem})
		why = slices.DeleteFunc(why, func(s string) bool { return s == "" })
		w.line("  "+p.Name, p.Phase, yesNo(p.Ready), yesNo(p.Member), p.Probe, fmt.Sprint(p.Restarts), cmp.Or(p.Node, "-"), cmp.Or(p.IP, "-"), cmp.Or(strings.Join(why, "; "), "-"))
	}
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func (w *pages) events(events []Event, now time.Time) {
	if len(events) == 0 {
		return
	}
	w.title("Warnings of the last hour or so, from Events")
	for i := range events {
		e := &events[i]
		when := ago(e.Time, now)
		if e.Count > 1 {
			when += fmt.Sprintf(" (x%d)", e.Count)
		}
		w.line("  "+when, e.About, e.Reason, strings.Join(strings.Fields(e.Message), " "))
	}
}

func (w *pages) certificates(d *Details) {
	if len(d.Certificates) == 0 {
		return
	}
	w.title("Certificates of the webhook")
	for _, c := range d.Certificates {
		if c.Unknown != "" {
			w.line("  "+c.Where, "-", "unknown ("+c.Unknown+")")
			continue
		}
		w.line("  "+c.Where, c.Subject, fmt.Sprintf("%d days left, until %s", c.DaysLeft, stamp(c.NotAfter)))
	}
}
