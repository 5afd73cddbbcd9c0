package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
)

var interrupt = os.Interrupt

// lines is what a running command has printed so far.
type lines struct {
	lock sync.Mutex
	*bytes.Buffer
}

func (l *lines) Write(text []byte) (int, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.Buffer.Write(text)
}

func (l *lines) text() string {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.String()
}

// has is the condition that a part was printed.
func (l *lines) has(part string) func(context.Context) error {
	return func(context.Context) error {
		if text := l.text(); !strings.Contains(text, part) {
			return fmt.Errorf("want %q, printed is\n%s", part, text)
		}
		return nil
	}
}
