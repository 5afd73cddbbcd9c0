package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/printers"
)

// Table writes one row a cluster. Rows may be written in several calls, as they
// change: the columns stay where they are.
type Table struct {
	// Namespaces adds the namespace, Wide everything that has no end.
	Namespaces, Wide bool
	// Out gets the text.
	Out io.Writer

	began bool
	tabs  flusher
}

type flusher interface {
	io.Writer
	Flush() error
}

// shortProblem is how many characters of a problem a row shows.
const shortProblem = 70

// phaseNotManaged is shown in the place of a phase.
const phaseNotManaged = "NotManaged"

// Write writes rows, and first the head.
func (t *Table) Write(clusters []ClusterStatus, now time.Time) error {
	if t.tabs == nil {
		t.tabs = printers.GetNewTabWriter(t.Out)
	}
	if !t.began {
		t.began = true
		fmt.Fprintln(t.tabs, strings.Join(t.head(), "\t"))
	}
	for i := range clusters {
		fmt.Fprintln(t.tabs, strings.Join(t.row(&clusters[i], now), "\t"))
	}
	if err := t.tabs.Flush(); err != nil {
		return fmt.Errorf("cannot write the table: %w", err)
	}
	return nil
}

func (t *Table) head() []string {
	head := []string{"NAME", "PHASE", "NODES", "LEADER", "AGE", "RESTARTS", "OUTDATED", "PROBLEM"}
	if t.Namespaces {
		head = append([]string{"NAMESPACE"}, head...)
	}
	if t.Wide {
		head = slices.Insert(head, len(head)-1, "RUNNING", "IN-PHASE", "LAST-RESTART")
	}
	return head
}

func (t *Table) row(s *ClusterStatus, now time.Time) []string {
	problem := ""
	if s.NotManaged != nil {
		problem = s.NotManaged.Message
	} else if len(s.Problems) > 0 {
		problem = s.Problems[0].Message
	}
	if !t.Wide {
		problem = shorten(problem, shortProblem)
	}
	row := []string{
		s.Name, phaseWord(s), fmt.Sprintf("%d/%d", s.Nodes.Formed, s.Nodes.Wanted), cmp.Or(s.Leader, "-"),
		ago(s.Created, now), restartsWord(s.Restarts), outdatedWord(s), cmp.Or(problem, "-"),
	}
	if t.Namespaces {
		row = append([]string{s.Namespace}, row...)
	}
	if t.Wide {
		row = slices.Insert(row, len(row)-1, strconv.Itoa(s.Nodes.Running), ago(s.Since, now), ago(s.Restarts.Last, now))
	}
	return row
}

// Same says whether two statuses have the same row, whatever the time.
func (t *Table) Same(a, b *ClusterStatus) bool {
	never := time.Time{}
	return slices.Equal(t.row(a, never), t.row(b, never))
}

func phaseWord(s *ClusterStatus) string {
	if s.NotManaged != nil {
		return phaseNotManaged
	}
	return cmp.Or(string(s.Phase), "Unknown")
}

func restartsWord(r Restarts) string {
	if r.Count == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", r.Count, r.LastCause)
}

func outdatedWord(s *ClusterStatus) string {
	switch len(s.Outdated) {
	case 0:
		return "no"
	case 1:
		return "1 field"
	default:
		return fmt.Sprintf("%d fields", len(s.Outdated))
	}
}

// ago gives a time as kubectl does; "-" for none.
func ago(then, now time.Time) string {
	if then.IsZero() || now.IsZero() {
		return "-"
	}
	return duration.HumanDuration(max(0, now.Sub(then)))
}

// shorten cuts a text to a number of characters, in one line.
func shorten(text string, length int) string {
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) <= length {
		return text
	}
	return strings.TrimRight(string([]rune(text)[:length-1]), " ") + "…"
}

// Sort puts clusters in the order of namespace and name.
func Sort(clusters []ClusterStatus) {
	slices.SortFunc(clusters, func(a, b ClusterStatus) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}
