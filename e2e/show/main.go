// Command show prints what the injection makes of a manifest. It needs nothing
// but the brain, so that it is compiled and done within seconds.
package main

import (
	"fmt"
	"os"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/render"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: show FILE")
		os.Exit(2)
	}
	if err := show(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func show(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot read the manifest: %w", err)
	}
	output, err := render.Inject([]render.Input{{Name: file, Data: text}}, render.Options{})
	if err != nil {
		return err
	}
	shown, err := output.Write(render.Diff)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(shown)
	return err
}
