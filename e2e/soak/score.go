package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// fault is something that must not happen.
type fault string

const (
	mixed    fault = "mixed"
	partial  fault = "partial"
	hung     fault = "hung"
	needless fault = "needless"
)

// score counts.
type score struct {
	lock   sync.Mutex
	wanted int
	start  time.Time
	done   int
	faults map[fault]int
	enough chan struct{} // closed when there were enough restarts
}

func (s *score) restarted() {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.done++; s.done == s.wanted {
		close(s.enough)
	}
}

func (s *score) restarts() int {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.done
}

// count counts a fault and says what a person needs to look into it.
func (s *score) count(f fault, cluster, format string, args ...any) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.faults == nil {
		s.faults = map[fault]int{}
	}
	s.faults[f]++
	fmt.Fprintf(os.Stderr, "── %s: %s at %s: %s\n", f, cluster, time.Now().UTC().Format("15:04:05.000"), fmt.Sprintf(format, args...))
}

func (s *score) failed() bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	return len(s.faults) > 0
}

// String is the last line.
func (s *score) String() string {
	s.lock.Lock()
	defer s.lock.Unlock()
	return fmt.Sprintf("soak: %d restarts, %d mixed, %d partial, %d hung, %d needless",
		s.done, s.faults[mixed], s.faults[partial], s.faults[hung], s.faults[needless])
}

// showEvery is how often the progress is shown.
const showEvery = 15 * time.Second

func (s *score) show(ctx context.Context, w *watcher) {
	tick := time.NewTicker(showEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			fmt.Fprintf(os.Stderr, "  %s of %d after %s; %s\n", s, s.wanted, time.Since(s.start).Round(time.Second), w.phases())
		}
	}
}
