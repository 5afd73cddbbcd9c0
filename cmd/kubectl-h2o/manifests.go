package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/input"
	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/render"
)

// manifests is what the commands that work on files have in common.
type manifests struct {
	streams   genericiooptions.IOStreams
	config    kubeconfig
	files     []string
	recursive bool
	format    formatFlag
	options   render.Options
	render    func([]render.Input, render.Options) (render.Output, error)
}

func newManifests(streams genericiooptions.IOStreams, do func([]render.Input, render.Options) (render.Output, error)) *manifests {
	return &manifests{streams: streams, format: formatFlag(render.YAML), render: do}
}

func (m *manifests) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVarP(&m.files, "filename", "f", nil, "file or folder of manifests, or - for stdin; can be given several times")
	flags.BoolVarP(&m.recursive, "recursive", "R", false, "read folders in folders too")
	flags.VarP(&m.format, "output", "o", "what to print: "+formatNames())
	m.config.addFlags(flags)
}

// run reads, renders and prints. Nothing is printed before all has gone well.
func (m *manifests) run(*cobra.Command, []string) error {
	if len(m.files) == 0 {
		return usagef("no input: name files with -f, or - for stdin")
	}
	if first := slices.Index(m.files, input.Stdin); first >= 0 && slices.Contains(m.files[first+1:], input.Stdin) {
		return usagef("-f - is given twice: stdin can be read once")
	}
	namespace, err := m.config.resolve()
	if err != nil {
		return err
	}
	m.options.Namespace, m.options.NamespaceAssumed = namespace, m.config.namespace == ""
	m.sayWaiting()
	inputs, err := input.Read(m.files, m.recursive, m.streams.In)
	if err != nil {
		return err
	}
	output, err := m.render(inputs, m.options)
	if err != nil {
		return err
	}
	text, err := output.Write(render.Format(m.format))
	if err != nil {
		return err
	}
	for _, w := range output.Warnings {
		if _, err := fmt.Fprintf(m.streams.ErrOut, "Warning: %s\n", w); err != nil {
			return fmt.Errorf("cannot write a warning: %w", err)
		}
	}
	if _, err := m.streams.Out.Write(text); err != nil {
		return fmt.Errorf("cannot write the output: %w", err)
	}
	return nil
}

// sayWaiting tells a person at a terminal what the silence means.
func (m *manifests) sayWaiting() {
	if slices.Contains(m.files, input.Stdin) && isTerminal(m.streams.In) {
		_, _ = fmt.Fprintln(m.streams.ErrOut, "waiting for manifests on the terminal: end them with Ctrl-D")
	}
}

func isTerminal(in io.Reader) bool {
	file, ok := in.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// formatFlag is a flag of one of the formats.
type formatFlag render.Format

func (f *formatFlag) String() string { return string(*f) }

// Type is the word that --help shows.
func (f *formatFlag) Type() string { return "format" }

// Set takes a format by its name.
func (f *formatFlag) Set(value string) error {
	if !slices.Contains(render.Formats(), render.Format(value)) {
		return fmt.Errorf("want %s", formatNames())
	}
	*f = formatFlag(value)
	return nil
}

func formatNames() string {
	var names []string
	for _, f := range render.Formats() {
		names = append(names, string(f))
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
