// Command bench runs the benchmarks of the admission path and says in its last
// line what the injection costs beside a webhook that only allows. Machines are
// noisy, so the two are timed in turn, several times, and only their ratio counts.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const rounds = 7

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func run(out io.Writer) error {
	dir, err := os.MkdirTemp("", "h2o-webhook-bench-")
	if err != nil {
		return fmt.Errorf("cannot make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "bench")
	if err := command(os.Stderr, "go", "test", "-c", "-o", program, "./webhook"); err != nil {
		return err
	}
	var printed bytes.Buffer
	for round := range rounds {
		fmt.Fprintf(out, "round %d of %d\n", round+1, rounds)
		if err := command(io.MultiWriter(out, &printed), program, "-test.run", "^$", "-test.bench", ".", "-test.benchtime", "0.5s", "-test.benchmem"); err != nil {
			return err
		}
	}
	times := parse(&printed)
	fmt.Fprintf(out, "\nmedians of %d rounds\n", rounds)
	for _, name := range []string{"Decode", "Inject", "Handler/allow", "Handler/inject", "Server/allow", "Server/inject"} {
		if len(times[name]) == 0 {
			return fmt.Errorf("benchmark %s did not run", name)
		}
		fmt.Fprintf(out, "  %-16s %9.1f µs\n", name, median(times[name])/1000)
	}
	decode, decide := median(times["Decode"])/1000, median(times["Inject"])/1000
	more := (median(times["Handler/inject"]) - median(times["Handler/allow"])) / 1000
	fmt.Fprintf(out, "what injecting takes more than allowing, %.1f µs: %.1f to read the object, %.1f to decide, %.1f for patch, metrics and the larger answer\n",
		more, decode, decide, more-decode-decide)
	fmt.Fprintf(out, "ratio server/allow %.2f (over TLS 1.3, as an API server calls)\n", ratio(times, "Server"))
	fmt.Fprintf(out, "ratio handler/allow %.2f\n", ratio(times, "Handler"))
	return nil
}

func command(out io.Writer, name string, args ...string) error {
	cmd := exec.Command(name, args...) //nolint:noctx // it ends by itself
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot run %s: %w", filepath.Base(name), err)
	}
	return nil
}

func ratio(times map[string][]float64, of string) float64 {
	return median(times[of+"/inject"]) / median(times[of+"/allow"])
}

// parse reads nanoseconds per operation by benchmark from go test's output.
func parse(printed io.Reader) map[string][]float64 {
	times := map[string][]float64{}
	lines := bufio.NewScanner(printed)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 4 || words[3] != "ns/op" {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(words[0], "Benchmark"), "-")
		if t, err := strconv.ParseFloat(words[2], 64); err == nil {
			times[name] = append(times[name], t)
		}
	}
	return times
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
