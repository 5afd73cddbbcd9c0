package harness

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
)

// Output is what a running command has printed so far. The zero value is empty.
type Output struct {
	lock sync.Mutex
	text bytes.Buffer
}

// Write adds to it.
func (o *Output) Write(text []byte) (int, error) {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.text.Write(text)
}

func (o *Output) String() string {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.text.String()
}

// Has is the condition that a part was printed.
func (o *Output) Has(part string) func(context.Context) error {
	return func(context.Context) error {
		if text := o.String(); !strings.Contains(text, part) {
			return fmt.Errorf("want %q, printed is\n%s", part, text)
		}
		return nil
	}
}
