package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress says what is being done while it is being done.
type progress struct {
	out   io.Writer
	start time.Time     // of the whole
	about time.Duration // of the whole
	what  string
}

// during runs work and says now and then how far it is: often on a terminal,
// where the line is written over, else every 15 s.
func (p progress) during(work func() error) error {
	every, end := 15*time.Second, "\n"
	if isTerminal(p.out) {
		every, end = time.Second, "\r"
	}
	done := make(chan error, 1)
	go func() { done <- work() }()
	fmt.Fprint(p.out, p.line()+end)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err == nil {
				fmt.Fprintf(p.out, "%s done\n", p.line())
			}
			return err
		case <-tick.C:
			fmt.Fprint(p.out, p.line()+end)
		}
	}
}

func (p progress) line() string {
	return fmt.Sprintf("  %s: %s so far, of about %s", p.what, since(p.start), p.about)
}

func since(start time.Time) time.Duration { return time.Since(start).Round(time.Second) }

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
