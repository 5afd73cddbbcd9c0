package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/render"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

const outputHelp = `
Output:
  yaml   every object in order; what is not changed keeps its text, comments too
  json   the one object, or a v1 List of several
  patch  a JSON patch (RFC 6902) of the one StatefulSet dealt with; of several,
         a line each: {"apiVersion","kind","namespace","name","patch":[...]}
  diff   a unified diff, with each change explained in a line that begins with #

A patch holds for the very object that came in, so read one from the cluster to
patch it there. An object with a resourceVersion is taken for one that the
cluster holds: what Kubernetes forbids to change (spec.serviceName and
spec.podManagementPolicy) is left as it is.

Exit codes: 0 done, 1 broken or refused input, 2 wrong command line. Broken input
prints nothing but one line that names file, document and reason.`

func newInject(streams genericiooptions.IOStreams) *cobra.Command {
	m := newManifests(streams, render.Inject)
	domain := domainFlag(policy.Defaults().ClusterDomain)
	cmd := &cobra.Command{
		Use:   "inject -f FILE",
		Short: "Print manifests as the webhook would store them, with their Services",
		Long: `Print manifests as the webhook would store them, with their Services.

Every object of the input is printed in its order. StatefulSets with label
h2o.ai/cluster=true are injected and followed by their discovery Service (unless
the input has one that fits) and their leader Service. Items of lists become
documents of their own. No server is asked. What is replaced, dangerous or
ignored is said on stderr.

The DNS name that H2O asks for contains the namespace. It is the object's own,
else -n, else the kubeconfig's, and the output must be applied there.
` + outputHelp,
		Example: `  # Render and apply
  kubectl h2o inject -f cluster.yaml | kubectl apply -f -

  # A plain StatefulSet that has no label yet
  kubectl h2o inject --label -f statefulset.yaml

  # A folder, and what would change in it
  kubectl h2o inject -f manifests/ -R -o diff

  # After a template engine
  helm template my-release ./chart | kubectl h2o inject -n science -f -

  # Patch a StatefulSet of the cluster
  kubectl get sts h2o -o yaml | kubectl h2o inject --label -f - -o patch > patch.json
  kubectl patch sts h2o --type=json --patch-file=patch.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			m.options.Settings = policy.Defaults()
			m.options.Settings.ClusterDomain = string(domain)
			return m.run(cmd, args)
		},
	}
	m.addFlags(cmd)
	cmd.Flags().BoolVar(&m.options.Label, "label", false, "label every StatefulSet of the input h2o.ai/cluster=true first")
	cmd.Flags().Var(&domain, "cluster-domain", "DNS suffix of the Kubernetes cluster")
	return cmd
}

func newUninject(streams genericiooptions.IOStreams) *cobra.Command {
	m := newManifests(streams, render.Uninject)
	cmd := &cobra.Command{
		Use:   "uninject -f FILE",
		Short: "Print manifests as their author wrote them, before inject",
		Long: `Print manifests as their author wrote them, before inject.

What was injected is read from annotation h2o.ai/injected and taken back, unless
somebody changed it since. The Services that were rendered for those StatefulSets
are left out; all other objects stay, and so does the label.
` + outputHelp,
		Example: `  # Back to what was written
  kubectl h2o uninject -f rendered.yaml

  # Take the label away as well
  kubectl h2o uninject --label -f rendered.yaml

  # What would go
  kubectl h2o uninject -f rendered.yaml -o diff`,
		Args: noArgs,
		RunE: m.run,
	}
	m.addFlags(cmd)
	cmd.Flags().BoolVar(&m.options.Label, "label", false, "remove label h2o.ai/cluster from every StatefulSet of the input too")
	return cmd
}

// domainFlag is a flag of a DNS suffix.
type domainFlag string

func (d *domainFlag) String() string { return string(*d) }

// Type is the word that --help shows.
func (d *domainFlag) Type() string { return "domain" }

// Set takes a DNS subdomain.
func (d *domainFlag) Set(value string) error {
	if problems := validation.IsDNS1123Subdomain(value); len(problems) > 0 {
		return fmt.Errorf("want a DNS name such as cluster.local, without a dot at its ends")
	}
	*d = domainFlag(value)
	return nil
}
