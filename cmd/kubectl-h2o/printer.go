package main

import (
	"io"
	"time"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/report"
)

// printer prints statuses in one of the formats.
type printer struct {
	out     io.Writer
	output  string
	table   *report.Table
	printed bool // documents were printed before
}

func newPrinter(out io.Writer, output string, namespaces bool) *printer {
	return &printer{out: out, output: output, table: &report.Table{Out: out, Namespaces: namespaces, Wide: output == outputWide}}
}

// all prints clusters as a list.
func (p *printer) all(clusters []report.ClusterStatus) error {
	switch p.output {
	case outputJSON, outputYAML:
		return p.document(report.NewList(clusters))
	default:
		return p.table.Write(clusters, time.Now())
	}
}

// one prints everything about a cluster; wide, its row.
func (p *printer) one(cluster *report.ClusterStatus, now time.Time) error {
	switch p.output {
	case outputJSON, outputYAML:
		return p.document(cluster)
	case outputWide:
		return p.table.Write([]report.ClusterStatus{*cluster}, now)
	default:
		return report.WriteFull(p.out, cluster, now)
	}
}

func (p *printer) document(document any) error {
	following := p.printed
	p.printed = true
	if p.output == outputYAML {
		return report.WriteYAML(p.out, document, following)
	}
	return report.WriteJSON(p.out, document)
}
