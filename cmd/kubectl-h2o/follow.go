package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/observe"
	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/report"
)

// followAll prints all clusters, and again what changes, until Ctrl-C.
func (s *status) followAll(ctx context.Context, reader *observe.Reader, p *printer, namespace string) error {
	known := map[string]report.ClusterStatus{}
	first := true
	err := reader.FollowAll(ctx, namespace, func(changed []report.ClusterStatus) (bool, error) {
		if first && len(changed) == 0 {
			s.sayNone(namespace)
		}
		first = false
		news := slices.DeleteFunc(changed, func(c report.ClusterStatus) bool {
			was, had := known[c.Namespace+"/"+c.Name]
			return had && p.table.Same(&was, &c)
		})
		for _, c := range news {
			known[c.Namespace+"/"+c.Name] = c
			if c.NotManaged != nil && c.NotManaged.Reason == report.ReasonGone {
				delete(known, c.Namespace+"/"+c.Name)
			}
		}
		return false, p.changed(news)
	})
	if err != nil {
		return err
	}
	return formed(slices.Collect(maps.Values(known))...)
}

// followOne prints each step of a cluster until it is formed, or Ctrl-C.
func (s *status) followOne(ctx context.Context, reader *observe.Reader, p *printer, namespace, name string) error {
	var last report.ClusterStatus
	start, said := time.Now(), ""
	err := reader.FollowOne(ctx, namespace, name, func(changed []report.ClusterStatus) (bool, error) {
		for _, c := range changed {
			last = c
			if c.NotManaged != nil && c.NotManaged.Reason == report.ReasonGone {
				return true, fmt.Errorf("StatefulSet %s was deleted", name)
			}
			step := report.Step(&c)
			if step == said {
				continue
			}
			said = step
			if err := p.step(&c, start); err != nil {
				return true, err
			}
		}
		return last.Formed, nil
	})
	if err != nil || last.Formed {
		return err
	}
	return &exitError{code: exitNotFormed}
}

// changed prints clusters that changed: their rows, or a document each.
func (p *printer) changed(clusters []report.ClusterStatus) error {
	if p.output == outputTable || p.output == outputWide {
		if len(clusters) == 0 {
			return nil
		}
		return p.table.Write(clusters, time.Now())
	}
	for i := range clusters {
		if err := p.marked(&clusters[i]); err != nil {
			return err
		}
	}
	return nil
}

// step prints how far a cluster has come: a line, or a document.
func (p *printer) step(cluster *report.ClusterStatus, start time.Time) error {
	if p.output == outputJSON || p.output == outputYAML {
		return p.marked(cluster)
	}
	if _, err := fmt.Fprintf(p.out, "%s  %s\n", report.Elapsed(start, time.Now()), report.Step(cluster)); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	return nil
}

// marked prints a cluster as a document of its own.
func (p *printer) marked(cluster *report.ClusterStatus) error {
	document := *cluster
	document.APIVersion, document.Kind = report.APIVersion, report.Kind
	return p.document(&document)
}
